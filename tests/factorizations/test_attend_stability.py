"""The results of "fixed" are right where numbers are large and formats short."""

import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.factorizations.summaries import SUMMARIES
from tests import reference
from tests.every_pair import every_pair
from tests.factorizations.plans import learned_fixed

DTYPES = ("float32", "bfloat16", "float16")
BLOCK, LENGTH = 4, 13
MASK = np.array(
    [
        [1] * LENGTH,
        [1] * 6 + [0] * 7,  # right padding, whole blocks of it
        [0] * 9 + [1] * 4,
        [1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 1],
        [0] * LENGTH,
    ],
    bool,
)


def run(arrays, dtype, mask, causal, summary):
    """Outputs, scores and gradients, as float64."""
    variables = [tf.Variable(tf.cast(x, dtype)) for x in arrays]
    with tf.GradientTape() as tape:
        outputs, scores = learned_fixed(BLOCK).attend(
            *variables,
            padding_mask=mask,
            causal=causal,
            summary=summary,
            return_attention_scores=True,
        )
        assert outputs.dtype == scores.dtype == dtype
        loss = tf.reduce_sum(tf.cast(outputs, "float32"))
    gradients = tape.gradient(loss, variables)
    return [tf.cast(x, "float64").numpy() for x in (outputs, scores, *gradients)]


def check_finite(results):
    for name, x in zip(("outputs", "scores", "query", "key", "value"), results, strict=True):
        assert np.isfinite(x).all(), f"{name} not finite"


def large_heads(batch):
    """Query and key whose logits are multiples of 50, up to 2e4: exact in float32 and float16."""
    generator = np.random.default_rng(0)
    query, key = (10.0 * generator.integers(-10, 11, size=(batch, 2, LENGTH, 4)) for _ in "qk")
    return query, key, generator.normal(size=(batch, 2, LENGTH, 3))


@pytest.mark.parametrize("summary", SUMMARIES)
@pytest.mark.parametrize("causal", [False, True])
def test_logits_of_ten_thousand_give_the_right_answer(causal, summary):
    query, key, value = large_heads(2)
    # Parts of 1, 2 or 4 tokens: their means are exact. So are all logits, except those of
    # "variational" and "gaussian": with more added they are rounded to 2**-10 (half a unit of 1e4).
    mask = np.array([[1] * LENGTH, [1, 0, 1, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1]], bool)
    outputs, scores, *_ = run((query, key, value), "float32", mask, causal, summary)
    expected_outputs, expected_scores = reference.attend(
        learned_fixed(BLOCK), query, key, value, mask, causal, summary
    )
    tolerance = 2**-9 if summary in ("variational", "gaussian") else 1e-5
    np.testing.assert_allclose(scores, expected_scores, atol=tolerance)
    np.testing.assert_allclose(outputs, expected_outputs, atol=3 * tolerance)


@pytest.mark.parametrize("summary", SUMMARIES)
@pytest.mark.parametrize("causal", [False, True])
def test_very_negative_logits_beside_large_masked_ones(causal, summary):
    generator = np.random.default_rng(0)
    mask = MASK[:4]
    counts = mask[:, np.newaxis, :, np.newaxis]
    # All that count: -1e4 times a small variation of no more than one unit. Masked: +1e4.
    query = np.full((4, 1, LENGTH, 1), 100.0)
    steps = generator.integers(-2, 3, size=query.shape) / 512
    key = np.where(counts, -100.0 + steps, 100.0)
    value = np.where(counts, generator.normal(size=query.shape), 1e4)
    logits = query * np.swapaxes(key, 2, 3)
    assert logits.max() == 1e4
    assert np.broadcast_to(logits, (4, 1, LENGTH, LENGTH)).min() < -9999
    outputs, scores, *_ = run((query, key, value), "float32", mask, causal, summary)
    expected_outputs, expected_scores = reference.attend(
        learned_fixed(BLOCK), query, key, value, mask, causal, summary
    )
    # Pooled keys are rounded to 2**-17 and lift that to 100 * 2**-17 in a logit.
    tolerance = 2e-3
    assert not scores[np.broadcast_to(~mask[:, None, None], scores.shape)].any()
    np.testing.assert_allclose(scores, expected_scores, atol=tolerance)
    np.testing.assert_allclose(outputs, expected_outputs, atol=5 * tolerance)


@every_pair(dtype=DTYPES, summary=SUMMARIES, causal=[False, True])
def test_uniform_attention_over_large_values(causal, summary, dtype):
    # Sums of 100 over 13 tokens are not a danger, sums over 2,000 would exceed float16.
    generator = np.random.default_rng(0)
    length = 2000
    query, key = (generator.uniform(-100, 100, size=(1, 1, length, 4)) for _ in "qk")
    value = generator.uniform(90, 100, size=(1, 1, length, 2))
    plan = learned_fixed(1000)
    variables = [tf.Variable(tf.cast(x, dtype)) for x in (query * 0, key, value)]
    with tf.GradientTape() as tape:
        outputs = plan.attend(*variables, causal=causal, summary=summary)
        loss = tf.reduce_mean(tf.cast(outputs, "float32"))
    gradients = tape.gradient(loss, variables)
    outputs = tf.cast(outputs, "float64").numpy()
    assert all(np.isfinite(tf.cast(x, "float32")).all() for x in gradients)
    assert 85 < outputs.min() <= outputs.max() < 105
    if not causal and summary in ("variational", "gaussian"):  # then all tokens weigh the same
        mean = tf.reduce_mean(tf.cast(variables[2], "float64"), axis=2).numpy()[0, 0]
        tolerance = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2}[dtype]
        np.testing.assert_allclose(outputs[0, 0], np.tile(mean, (length, 1)), rtol=tolerance)


@every_pair(
    signs=[(1, 1), (1, -1), (-1, -1)], dtype=DTYPES, summary=SUMMARIES, causal=[False, True]
)
def test_large_padding_is_harmless_in_every_format(causal, summary, dtype, signs):
    query, key, value = reference.heads((len(MASK), 2, LENGTH, 4))
    counts = MASK[:, np.newaxis, :, np.newaxis]
    filled = [
        np.where(counts, x, np.float32(fill))
        for x, fill in ((query, 1e4 * signs[0]), (key, 1e4 * signs[1]), (value, 1e4))
    ]
    results = run(filled, dtype, MASK, causal, summary)
    check_finite(results)
    expected = run((query, key, value), dtype, MASK, causal, summary)[0]
    tolerance = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 8e-2}[dtype]
    valid = np.broadcast_to(counts, expected.shape)
    np.testing.assert_allclose(results[0][valid], expected[valid], atol=tolerance)
