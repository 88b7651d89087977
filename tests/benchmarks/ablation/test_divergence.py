"""The divergence from softmax attention is what it says."""

import numpy as np
import pytest

from benchmarks.ablation.divergence import mean_divergence
from keras_combiner.factorizations import Fixed
from tests import reference


def test_divergence_is_zero_where_all_is_direct_and_not_elsewhere():
    query, key, _ = reference.heads((2, 2, 12, 4))
    masks = np.arange(12) < np.array([[12], [9]])
    heads = [(query, key)]
    assert mean_divergence(Fixed(12), "max", heads, masks) == pytest.approx(0, abs=1e-6)
    assert mean_divergence(Fixed(4), "max", heads, masks) > 0.01
