"""What the variance of a part's keys is for: less of softmax attention is left out.

"variational" has the lowest KL(E || p), E the effective attention and p softmax attention over the
same queries and keys: it underrates parts. "gaussian" gives up some of it for KL(p || E).
"""

import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.factorizations import (
    AxialHorizontal,
    AxialRowmajor,
    AxialVertical,
    Fixed,
    Hierarchical,
    Logsparse,
)
from tests import reference
from tests.every_pair import every_pair

LENGTH = 256
PLANS = {
    "fixed": Fixed(16),
    "fixed, finer parts and neighbors": Fixed(16, part_size=8, neighbors=1),
    "logsparse": Logsparse(),
    "hierarchical": Hierarchical(16),
    "axial_vertical": AxialVertical(16),
    "axial_horizontal": AxialHorizontal(16),
    "axial_rowmajor": AxialRowmajor(16),
}


def mean_divergence(x, y):
    """Of KL(x || y) over rows; weights are positive where the causal mask leaves them."""
    seen = x > 0
    return np.sum(
        np.where(seen, x * np.log(np.where(seen, x, 1) / np.where(seen, y, 1)), 0), -1
    ).mean()


def divergences(plan, summary, scale, causal):
    """Mean KL(p || E) and KL(E || p)."""
    query, key, value = (
        x.astype("float64") for x in reference.heads((1, 4, LENGTH, 32), scale=scale)
    )
    logits = query @ np.swapaxes(key, 2, 3) / np.sqrt(32)
    logits = np.where(np.tri(LENGTH, dtype=bool) | (not causal), logits, -np.inf)
    softmax = np.exp(logits - logits.max(-1, keepdims=True))
    softmax /= softmax.sum(-1, keepdims=True)
    _, effective = plan.attend(
        query, key, value, causal=causal, summary=summary, return_attention_scores=True
    )
    effective = np.array(effective)
    return mean_divergence(softmax, effective), mean_divergence(effective, softmax)


@every_pair(plan=PLANS, causal=[False, True], scale=[1.0, 1.5])
def test_leaves_out_less_than_variational(plan, scale, causal):
    left_out, brought_in = divergences(plan, "gaussian", scale, causal)
    more_left_out, less_brought_in = divergences(plan, "variational", scale, causal)
    assert left_out < more_left_out
    assert brought_in > less_brought_in


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("causal", [False, True])
def test_parts_of_one_token_are_softmax_attention(causal, scale):
    query, key, value = reference.heads((1, 2, 24, 4), scale=scale)
    expected = Fixed(24).attend(query, key, value, causal=causal, summary="gaussian")
    outputs = Fixed(4, part_size=1).attend(query, key, value, causal=causal, summary="gaussian")
    np.testing.assert_allclose(outputs, expected, atol=1e-5 * scale)


@pytest.mark.parametrize("plan", [Fixed(4), AxialVertical(4), AxialRowmajor(3)])
def test_what_variances_teach_is_finite_in_float16(plan):
    # Local weights and keys are taught by squares, of which float16 holds none above 65,504.
    generator = np.random.default_rng(0)
    heads = [10.0 * generator.integers(-10, 11, size=(5, 2, 13, 4)) for _ in range(3)]
    heads = [tf.constant(x, "float16") for x in heads]
    with tf.GradientTape() as tape:
        tape.watch(heads)
        outputs = plan.attend(*heads, summary="gaussian")
    for x in tape.gradient(outputs, heads):
        assert np.isfinite(x).all()
