"""What favors nearby tokens, head by head: the reference's outputs, and what must not change."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.factorizations import Fixed
from keras_combiner.layers import CombinerAttention
from tests import reference
from tests.every_pair import every_pair
from tests.factorizations.plans import COMPILED_ALIKE, LEARNED_PLANS, SIZE, VARIANTS, distinct_plans

LENGTH = 19
SUMMARIES = ["max", "variational", "gaussian", "none"]


@every_pair(
    plan=LEARNED_PLANS,
    summary=SUMMARIES,
    causal=[False, True],
    locality=[0.5, 6, 16.0],
    padding=["none", "right", "left", "scattered", "all"],
    slow=VARIANTS,
)
def test_equals_the_reference(plan, summary, causal, locality, padding):
    heads = reference.heads((2, 3, LENGTH, 4), value_dim=2, seed=1)
    mask = reference.padding_mask(padding, 2, LENGTH, seed=2)
    arguments = (*heads, mask, causal, summary)
    expected = reference.attend(plan, *arguments, locality)
    received = plan.attend(*arguments, locality=locality, return_attention_scores=True)
    for x, y in zip(received, expected, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


@distinct_plans
def test_the_first_head_is_as_if_there_were_none(plan):
    heads = reference.heads((1, 3, LENGTH, 4))
    expected = plan.attend(*heads, summary="gaussian")
    received = plan.attend(*heads, summary="gaussian", locality=16.0)
    np.testing.assert_allclose(received[:, 0], expected[:, 0], atol=1e-6)


def test_the_last_head_looks_nearby_most_of_all():
    heads = reference.heads((1, 4, 64, 4))
    _, scores = Fixed(8).attend(*heads, locality=6.0, return_attention_scores=True)
    block = np.arange(64) // 8
    near = np.sum(scores * (block[:, np.newaxis] == block), axis=-1).mean((0, 2))
    assert np.all(np.diff(near) > 0)
    assert near[0] < 0.2
    assert near[-1] > 0.9


@pytest.mark.parametrize("causal", [False, True])
def test_where_all_is_direct_it_changes_nothing(causal):
    heads = reference.heads((2, 3, 12, 4))
    plan = Fixed(12)
    expected = plan.attend(*heads, causal=causal)
    received = plan.attend(*heads, causal=causal, locality=6.0)
    np.testing.assert_array_equal(received, expected)


@every_pair(
    plan=LEARNED_PLANS,
    dtype=["float16", "bfloat16", "float32"],
    causal=[False, True],
    slow=VARIANTS,
    quick=1,
)
def test_large_logits_stay_finite_and_rows_sum_to_one(plan, dtype, causal):
    generator = np.random.default_rng(0)
    query, key, value = (10.0 * generator.integers(-10, 11, size=(5, 2, 13, 4)) for _ in "qkv")
    rows = [reference.padding_mask(kind, 1, 13) for kind in ("right", "left", "scattered")]
    mask = np.concatenate([np.ones((1, 13), bool), *rows, np.zeros((1, 13), bool)])
    variables = [tf.Variable(tf.cast(x, dtype)) for x in (query, key, value / 100)]
    with tf.GradientTape() as tape:
        outputs, scores = plan.attend(
            *variables,
            padding_mask=mask,
            causal=causal,
            summary="gaussian",
            locality=16.0,
            return_attention_scores=True,
        )
        loss = tf.reduce_sum(tf.cast(outputs, "float32"))
    for x in (outputs, scores, *tape.gradient(loss, variables)):
        assert np.isfinite(tf.cast(x, "float32")).all()
    sums = tf.reduce_sum(tf.cast(scores, "float32"), -1).numpy()
    if plan.plan.covers_all and not plan.plan.plans:
        places = np.arange(13)
        sees = mask[:, np.newaxis] & (places <= places[:, np.newaxis] if causal else True)
        expected = np.broadcast_to(sees.any(-1)[:, np.newaxis], sums.shape)
        np.testing.assert_allclose(sums, expected, atol=1e-5 if dtype == "float32" else 2e-2)


DECODING = {name: plan for name, plan in LEARNED_PLANS.items() if plan.plan.decodes}


@every_pair(plan=DECODING, slow=COMPILED_ALIKE)
def test_decoding_equals_attending(plan):
    heads = reference.heads((1, 3, LENGTH, 4))
    options = {"summary": "gaussian", "locality": 4.0}
    weights = plan.learned(heads[0].shape, 4, "gaussian")["weights"]
    expected = plan.attend(*heads, causal=True, **options)
    cache = plan.plan.initial_cache(1, 3, 4, 4, LENGTH, summary="gaussian")
    for position in range(LENGTH):
        token = [x[:, :, position] for x in heads]
        outputs, cache = plan.plan.decode(*token, cache, position, weights=weights, **options)
        np.testing.assert_allclose(outputs, expected[:, :, position], atol=1e-5)


@every_pair(plan=LEARNED_PLANS, slow=COMPILED_ALIKE)
def test_xla_and_a_batch_of_unknown_size_compute_the_same(plan):
    heads = reference.heads((2, 3, LENGTH, 4))
    inputs = plan.learned(heads[0].shape, 4)["inputs"]

    def attend(query, key, value, inputs):
        return plan.attend(query, key, value, locality=6.0, inputs=inputs)

    signature = [tf.TensorSpec([None, *x.shape[1:]]) for x in (*heads, inputs)]
    expected = attend(*heads, inputs)
    traced = tf.function(attend, input_signature=signature, autograph=False)
    compiled = tf.function(attend, jit_compile=True, autograph=False)
    for function in (traced, compiled):
        arrays = [tf.constant(x) for x in (*heads, inputs)]
        np.testing.assert_allclose(function(*arrays), expected, atol=1e-5)


def test_one_head_cannot_have_any():
    with pytest.raises(ValueError, match="a single head cannot have any"):
        Fixed(2).attend(*reference.heads((1, 1, 3, 4)), locality=1.0)
    with pytest.raises(ValueError, match="a single head cannot have any"):
        CombinerAttention(1, 4, locality=1.0)


def test_float64_is_computed_in_float64():
    heads = [x.astype("float64") for x in reference.heads((2, 4, LENGTH, 4))]
    outputs, _ = reference.attend(Fixed(SIZE), *heads, locality=5.0)
    np.testing.assert_allclose(Fixed(SIZE).attend(*heads, locality=5.0), outputs, atol=1e-13)


@pytest.mark.parametrize("locality", [-1, 16.5, float("nan"), True, "6", None])
def test_what_is_not_in_range_is_refused(locality):
    heads = reference.heads((1, 2, 3, 4))
    with pytest.raises(ValueError, match="`locality` must be a number from 0"):
        Fixed(2).attend(*heads, locality=locality)
    with pytest.raises(ValueError, match="`locality` must be a number from 0"):
        CombinerAttention(2, 4, locality=locality)


def test_the_layer_keeps_it():
    layer = CombinerAttention(3, 4, block_size=SIZE, locality=6.0)
    tokens = np.random.default_rng(0).normal(size=(2, LENGTH, 8)).astype("float32")
    outputs = layer(tokens, tokens)
    copy = CombinerAttention.from_config(layer.get_config())
    copy.build(tokens.shape, tokens.shape)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(tokens, tokens), outputs)
    without = CombinerAttention.from_config({**layer.get_config(), "locality": 0.0})
    without.build(tokens.shape, tokens.shape)
    without.set_weights(layer.get_weights())
    assert keras.ops.max(abs(without(tokens, tokens) - outputs)) > 1e-3
