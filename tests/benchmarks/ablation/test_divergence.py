"""The divergence from softmax attention is what it says."""

import numpy as np
import pytest

from benchmarks.ablation.divergence import mean_divergences
from keras_combiner.factorizations import Fixed
from tests import reference


def test_divergences_are_zero_where_all_is_direct_and_not_elsewhere():
    query, key, _ = reference.heads((2, 2, 12, 4))
    masks = np.arange(12) < np.array([[12], [9]])
    heads = [(query, key)]
    assert mean_divergences(Fixed(12), "max", heads, masks) == pytest.approx((0, 0), abs=1e-6)
    assert min(mean_divergences(Fixed(4), "max", heads, masks)) > 0.01
    assert mean_divergences(Fixed(4), "none", heads, masks).of_softmax == np.inf


def test_divergences_by_hand():
    query = np.float32([1, 1, 0, 0]).reshape(1, 1, 4, 1)
    key = np.float32([0, 0, np.log(3), 0]).reshape(1, 1, 4, 1)
    found = mean_divergences(Fixed(2), "max", [(query, key)], np.ones((1, 4), bool))
    rows = [  # softmax attention, and the effective one
        # The second block counts as one token with the key log 3, which its queries share evenly.
        (np.array([1, 1, 3, 1]) / 6, np.array([1, 1, 1.5, 1.5]) / 5),
        # Its queries are zero: all logits are.
        (np.full(4, 1 / 4), np.array([0.5, 0.5, 1, 1]) / 3),
    ]
    effective = np.mean([np.sum(e * np.log(e / p)) for p, e in rows])
    softmax = np.mean([np.sum(p * np.log(p / e)) for p, e in rows])
    assert found == pytest.approx((effective, softmax), abs=1e-6)
