"""Layers that decode one token at a time give what they give for the whole sequence."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_combiner.factorizations import AxialVertical, Fixed, Hierarchical, Logsparse, Window
from keras_combiner.layers import CombinerAttention, CombinerEncoder, TokenAndPositionEmbedding

LENGTH, FEATURES = 13, 8
TOKENS = np.random.default_rng(0).normal(size=(3, LENGTH, FEATURES)).astype("float32")
OPTIONS = {
    "defaults": {},
    "finer parts, neighbors": {"factorization": Fixed(2, part_size=1, neighbors=1)},
    "logsparse": {"factorization": Logsparse(), "summary": "variational"},
    "hierarchical": {"factorization": Hierarchical(2), "summary": "mean"},
    "window": {"factorization": Window(3)},
    "first block, locality": {"factorization": Fixed(2, first_blocks=1), "locality": 6.0},
    "gaussian": {"factorization": Hierarchical(2), "summary": "gaussian"},
    "deepset": {"summary": "deepset"},
    "no parts": {"summary": "none"},
    "grouped queries": {"num_key_value_heads": 2},
    "one key head, rotary": {"num_key_value_heads": 1, "rotary": True, "rotary_base": 100.0},
    "everything": {
        "factorization": "logsparse",
        "summary": "deepset",
        "num_key_value_heads": 2,
        "rotary": True,
    },
}


OF_ATTENTION = ("finer parts, neighbors", "hierarchical", "gaussian", "grouped queries")


def with_every_option(argument, usual, other, few):
    """All options with both values of an argument.

    The tests that are not slow have two options with both, and `few` with the usual one: a block
    decodes by its attention, so that an option of either is tried in the other, too.
    """
    both = ("defaults", "everything")
    return pytest.mark.parametrize(
        f"options,{argument}",
        [
            pytest.param(
                options,
                value,
                id=f"{name}-{value}",
                marks=() if name in both or (value == usual and name in few) else pytest.mark.slow,
            )
            for name, options in OPTIONS.items()
            for value in (usual, other)
        ],
    )


def with_weights(layer):
    """The layer, built, with weights large enough for tokens to hear each other."""
    shape = (None, LENGTH, FEATURES)
    layer.build(shape, shape) if isinstance(layer, CombinerAttention) else layer.build(shape)
    generator = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(generator.normal(size=weight.shape) * 0.5)
    return layer


def decode_all(layer, tokens, max_length=LENGTH, jit_compile=False):
    """Outputs of the tokens one after the other, stacked."""
    step = tf.function(layer.decode, jit_compile=jit_compile, autograph=False)
    cache = layer.initial_cache(tokens.shape[0], max_length)
    outputs = []
    for position in range(tokens.shape[1]):
        output, cache = step(tokens[:, position], cache, tf.constant(position))
        outputs.append(np.array(ops.cast(output, "float32")))
    return np.stack(outputs, axis=1)


@with_every_option("gate", False, True, few=OF_ATTENTION)
def test_attention_equals_the_whole_sequence(options, gate):
    layer = CombinerAttention(4, 2, value_dim=3, block_size=4, use_gate=gate, **options)
    layer = with_weights(layer)
    whole = layer(TOKENS, TOKENS, use_causal_mask=True)
    np.testing.assert_allclose(decode_all(layer, TOKENS), whole, atol=1e-5)


def test_attention_with_an_output_shape_and_room_to_spare():
    layer = with_weights(CombinerAttention(2, 4, block_size=4, output_shape=5, dropout=0.5))
    whole = layer(TOKENS, TOKENS, use_causal_mask=True)
    assert whole.shape[2] == 5
    np.testing.assert_allclose(decode_all(layer, TOKENS, 40), whole, atol=1e-5)


@with_every_option("normalize_first", True, False, few=set(OPTIONS).difference(OF_ATTENTION))
def test_encoder_equals_the_whole_sequence(options, normalize_first):
    block = CombinerEncoder(
        4,
        12,
        block_size=4,
        dropout=0.5,
        normalize_first=normalize_first,
        use_causal_mask=True,
        **options,
    )
    block = with_weights(block)
    np.testing.assert_allclose(decode_all(block, TOKENS), block(TOKENS), atol=1e-5)


@pytest.mark.slow  # language models generate under XLA on every change
def test_encoder_compiles():
    block = CombinerEncoder(2, 12, block_size=8, use_causal_mask=True, rotary=True)
    block = with_weights(block)
    received = decode_all(block, TOKENS, jit_compile=True)
    np.testing.assert_allclose(received, block(TOKENS), atol=1e-5)


SLOW_POLICIES = ["mixed_float16", "float16"]


@pytest.mark.parametrize(
    "policy", ["mixed_bfloat16", *(pytest.param(x, marks=pytest.mark.slow) for x in SLOW_POLICIES)]
)
def test_short_formats(policy):
    options = {"block_size": 4, "use_causal_mask": True, "summary": "deepset", "rotary": True}
    block = with_weights(CombinerEncoder(2, 12, dtype=policy, **options))
    exact = np.array(with_weights(CombinerEncoder(2, 12, **options))(TOKENS))
    whole = np.array(ops.cast(block(TOKENS), "float32"))
    cache = block.initial_cache(1, 4)
    assert cache["key"].dtype == block.compute_dtype
    # As far from float32 as the whole sequence at once is, give or take.
    received = decode_all(block, TOKENS)
    assert np.abs(received - exact).max() <= 2 * np.abs(whole - exact).max()


def test_embedding_of_one_position():
    layer = TokenAndPositionEmbedding(20, sequence_length=9, embedding_dim=4)
    ids = np.random.default_rng(0).integers(0, 20, size=(2, 9))
    whole = layer(ids)
    for position in (0, 5, 8):
        for at in (position, tf.constant(position)):
            np.testing.assert_array_equal(layer.decode(ids[:, position], at), whole[:, position])


def test_what_cannot_decode_says_so():
    token = TOKENS[:, 0]
    layer = CombinerAttention(2, 4, block_size=4, name="attention_7")
    cache = layer.initial_cache(3, 5)
    with pytest.raises(ValueError, match="'attention_7' has no weights yet: call or build it"):
        layer.decode(token, cache, 0)
    layer(TOKENS, TOKENS)
    with pytest.raises(ValueError, match=r"one token.*\[batch, features\].*\(3, 13, 8\)"):
        layer.decode(TOKENS, cache, 0)
    with pytest.raises(ValueError, match=r"between 0 and 4.*position=5"):
        layer.decode(token, cache, 5)
    with pytest.raises(NotImplementedError, match="AxialVertical does not decode"):
        CombinerAttention(2, 4, factorization=AxialVertical(4)).initial_cache(3, 5)
    block = CombinerEncoder(2, 12, use_causal_mask=True)
    with pytest.raises(ValueError, match="has no weights yet"):
        block.initial_cache(3, 5)
    with pytest.raises(ValueError, match=r"Only causal blocks .* use_causal_mask=True"):
        with_weights(CombinerEncoder(2, 12)).initial_cache(3, 5)
