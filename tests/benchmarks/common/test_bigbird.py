"""BigBird as a plan is its pattern."""

import numpy as np
import pytest

from benchmarks.common.bigbird import BigBird
from tests import reference


@pytest.mark.parametrize("length", [3, 8, 9, 16, 23, 40])
@pytest.mark.parametrize("kind", ["none", "right", "random", "all"])
def test_bigbird_is_its_pattern(length, kind):
    plan = BigBird(4, num_random=1, seed=2)
    arrays = reference.heads((2, 2, length, 3))
    mask = reference.padding_mask(kind, 2, length) if kind != "none" else None
    outputs, scores = plan.attend(*arrays, padding_mask=mask, return_attention_scores=True)
    expected, matrix = reference.attend(plan, *arrays, mask)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_allclose(scores, matrix, atol=1e-5)


def test_bigbird_sees_what_it_says():
    plan = BigBird(2, num_random=1)
    supports = plan.support(20)
    assert supports[0].direct == supports[19].direct == tuple(range(20))
    blocks = {j // 2 for j in supports[10].direct}
    assert {0, 4, 5, 6, 9} < blocks
    assert len(blocks) == 6
    with pytest.raises(ValueError, match="it is for bidirectional attention"):
        plan.support(20, causal=True)
    with pytest.raises(ValueError, match="`num_random` must be an int of at least 0"):
        BigBird(2, num_random=-1)
