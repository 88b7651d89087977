"""The long classifiers are one transformer with other attention."""

import pytest

from benchmarks.deploy_report import length
from benchmarks.deploy_report.length import COMBINER, FULL, FULL_WITHOUT_MASK


@pytest.mark.slow
def test_full_attention_is_the_same_transformer():
    small = {"length": 64, "tokens": 50, "hidden_dim": 16, "intermediate_dim": 32, "repeats": 1}
    found = length.figures({**length.SETTINGS, **small, "num_heads": 2})
    assert set(found["seconds"]) == set(found["size"]) == {COMBINER, FULL, FULL_WITHOUT_MASK}
    assert min(found["seconds"].values()) > 0
