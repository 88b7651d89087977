"""What counts as a difference."""

import numpy as np
import pytest

from benchmarks.common.verdicts import BETTER, NOT_SETTLED, WORSE, standard_error, verdict


def test_the_standard_error_is_that_of_drawing_documents():
    generator = np.random.default_rng(0)
    first, second = generator.binomial(50, [[0.7], [0.4]], size=(2, 20000)) / 50
    assert standard_error(0.7, count=50) == pytest.approx(first.std(), rel=0.03)
    assert standard_error(0.7, 0.4, count=50) == pytest.approx((first - second).std(), rel=0.03)


@pytest.mark.parametrize(
    ("values", "others", "expected"),
    [
        ([0.8, 0.9], [0.6, 0.7], BETTER),
        ([0.6, 0.7], [0.8, 0.9], WORSE),
        ([0.8, 0.7], [0.6, 0.7], NOT_SETTLED),  # one seed sees no difference
        ([0.8, 0.6], [0.6, 0.8], NOT_SETTLED),  # they contradict each other
        ([0.7], [0.6], NOT_SETTLED),  # less than chance may do with 100 documents
    ],
)
def test_every_seed_must_say_so_by_itself(values, others, expected):
    assert verdict(values, others, count=100) == expected
