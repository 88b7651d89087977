"""What conversion keeps, and its cost in terms, are measured as the page says."""

import numpy as np
import pytest

from benchmarks.conversion import measure
from keras_combiner import CombinerBackbone


@pytest.mark.slow
def test_every_row_is_a_plan():
    for row in (measure.FULL, *measure.PLANS, *measure.OTHERS):
        backbone = CombinerBackbone(
            *(10, 64, 1, 2, 4, 4), static_length=True, **measure.options_of(row, 64)
        )
        assert backbone(np.ones((1, 64), "int32")).shape == (1, 64, 4)


def test_terms_are_counted_over_all_queries():
    backbone = CombinerBackbone(10, 64, 1, 2, 4, 4, block_size=4)
    assert measure.terms(backbone, 10) == (4 * 6 + 4 * 6 + 2 * 4) / 10
    sparse = CombinerBackbone(10, 64, 1, 2, 4, 4, block_size=4, summary="none")
    assert measure.terms(sparse, 10) == (8 * 4 + 2 * 2) / 10


def test_cosine():
    x = np.array([[1.0, 0.0], [3.0, 3.0]])
    y = np.array([[0.0, 2.0], [1.0, 1.0]])
    np.testing.assert_allclose(measure.cosine(x, y), [0, 1], atol=1e-12)


def test_times_are_medians_of_rounds():
    order = []
    runs = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    found = measure.time_all(runs, 3)
    assert order == ["a", "b"] * 3
    assert set(found) == {"a", "b"} and all(0 <= x < 1e3 for x in found.values())
