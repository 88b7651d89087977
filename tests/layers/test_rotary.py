"""Rotary position embedding, as a function and in the layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.factorizations import names
from keras_combiner.layers import CombinerAttention
from keras_combiner.layers.rotary import positions_from_first_valid, rotate

LENGTH, FEATURES = 12, 8


def tokens(seed=0, length=LENGTH):
    return np.random.default_rng(seed).normal(size=(2, length, FEATURES)).astype("float32")


def built(**options):
    layer = CombinerAttention(2, 4, **{"rotary": True, "block_size": 64, **options})
    layer.build((None, None, FEATURES), (None, None, FEATURES))
    generator = np.random.default_rng(0)
    layer.set_weights([generator.normal(size=w.shape) * 0.5 for w in layer.weights])
    return layer


def test_known_values():
    # Two pairs, (0, 2) and (1, 3); base 16 turns the second one 4 times slower.
    x = np.array([1.0, 1.0, 0.0, 2.0], "float32").reshape((1, 1, 1, 4))
    angle = 3.0
    expected = [
        np.cos(3),
        np.cos(3 / 4) - 2 * np.sin(3 / 4),
        np.sin(3),
        2 * np.cos(3 / 4) + np.sin(3 / 4),
    ]
    received = np.array(rotate(x, np.array([[angle]]), base=16)).ravel()
    np.testing.assert_allclose(received, expected, atol=1e-6)
    np.testing.assert_array_equal(rotate(x, np.zeros((1, 1))), x)
    scaled = rotate(x, np.array([[5 * angle]]), base=16, scaling_factor=5.0)
    np.testing.assert_allclose(np.array(scaled).ravel(), expected, atol=1e-6)


@given(
    first=st.integers(0, 500),
    distance=st.integers(-200, 200),
    shift=st.integers(0, 500),
    half=st.integers(1, 8),
    base=st.sampled_from([10.0, 10000.0]),
)
def test_direct_logits_depend_on_the_distance_only(first, distance, shift, half, base):
    query, key = np.random.default_rng(half).normal(size=(2, 1, 1, 1, 2 * half)).astype("float32")

    def logit(position, other):
        return np.sum(
            np.array(rotate(query, np.array([[position]]), base))
            * np.array(rotate(key, np.array([[other]]), base))
        )

    here, there = (logit(p, p + distance) for p in (first, first + shift))
    scale = np.linalg.norm(query) * np.linalg.norm(key)
    assert abs(here - there) <= 1e-4 * scale  # angles near 1000 are float32 numbers to 6e-5


def test_the_distance_matters():
    layer = built()
    x = np.repeat(tokens()[:, :1], LENGTH, axis=1)  # the same token everywhere
    _, scores = layer(x, x, return_attention_scores=True)
    scores = np.array(scores)
    assert scores.std(-1).min() > 1e-3
    logits = np.log(scores[0, 0])
    logits = logits - np.diag(logits)[:, np.newaxis]
    for offset in (1, 4):
        np.testing.assert_allclose(np.diff(np.diag(logits, offset)), 0, atol=1e-5)
    _, without = built(rotary=False)(x, x, return_attention_scores=True)
    np.testing.assert_allclose(without, np.full(scores.shape, 1 / LENGTH), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_angles_are_float32_numbers(dtype):
    # In float16 the positions 2048 and 2049 are one number, in bfloat16 already 256 and 257.
    x = tf.ones((1, 1, 2, 2), dtype)
    rotated = rotate(x, np.array([[4096, 4097]]))
    assert rotated.dtype == dtype
    first, second = tf.cast(rotated, "float32").numpy()[0, 0]
    for position, received in ((4096, first), (4097, second)):
        expected = [
            np.cos(position) - np.sin(position),
            np.cos(position) + np.sin(position),
        ]
        np.testing.assert_allclose(received, expected, atol=1e-2)


def test_positions_count_from_the_first_valid_token():
    mask = np.array([[0, 0, 1, 0, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
    received = np.array(positions_from_first_valid(mask, 5))
    assert received.tolist() == [[-2, -1, 0, 1, 2], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert np.array(positions_from_first_valid(None, 3)).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("causal", [False, True])
def test_left_padding_does_not_matter_to_direct_attention(causal):
    layer = built()
    x = tokens()
    expected = layer(x, x, use_causal_mask=causal)
    for fill in (0.0, 1e3):
        padded = np.pad(x, [(0, 0), (5, 0), (0, 0)], constant_values=fill)
        mask = np.arange(LENGTH + 5)[np.newaxis].repeat(2, 0) >= 5
        outputs = layer(padded, padded, attention_mask=mask, use_causal_mask=causal)
        np.testing.assert_allclose(np.array(outputs)[:, 5:], expected, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_left_padding_by_whole_blocks_does_not_matter_to_summaries(causal):
    # Pooling rotated keys sees the positions themselves: they must be the same ones.
    layer = built(block_size=4)
    x = tokens()
    expected = np.array(layer(x, x, use_causal_mask=causal))
    padded = np.pad(x, [(0, 0), (8, 0), (0, 0)])
    mask = np.arange(LENGTH + 8)[np.newaxis].repeat(2, 0) >= 8
    outputs = layer(padded, padded, attention_mask=mask, use_causal_mask=causal)
    np.testing.assert_allclose(np.array(outputs)[:, 8:], expected, atol=1e-5)


@pytest.mark.parametrize("name", names())
def test_right_padding_does_not_matter_to_any_plan(name):
    layer = built(factorization=name, block_size=4)
    x = tokens()
    expected = np.array(layer(x, x))
    padded = np.pad(x, [(0, 0), (0, 4), (0, 0)])
    mask = np.arange(LENGTH + 4)[np.newaxis].repeat(2, 0) < LENGTH
    outputs = layer(padded, padded, attention_mask=mask)
    np.testing.assert_allclose(np.array(outputs)[:, :LENGTH], expected, atol=1e-5)
    assert (
        np.abs(
            np.array(built(factorization=name, block_size=4, rotary=False)(x, x)) - expected
        ).max()
        > 1e-3
    )


def test_mixed_precision_is_close():
    outputs = built(dtype="mixed_float16", block_size=4)(tokens(), tokens())
    assert keras.backend.standardize_dtype(outputs.dtype) == "float16"
    expected = built(block_size=4)(tokens(), tokens())
    np.testing.assert_allclose(tf.cast(outputs, "float32"), expected, atol=1e-2)


@pytest.mark.slow
def test_converts_to_litert_with_built_in_operators(tmp_path):
    layer = built(block_size=4, num_key_value_heads=1)
    x = keras.Input((LENGTH, FEATURES), batch_size=2, name="x")
    mask = keras.Input((LENGTH,), batch_size=2, dtype="bool", name="mask")
    model = keras.Model([x, mask], layer(x, x, attention_mask=mask))
    model.export(tmp_path / "model", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "model"))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    runner = Interpreter(model_content=converter.convert()).get_signature_runner()
    inputs = (tokens(), np.arange(LENGTH)[np.newaxis].repeat(2, 0) >= np.array([[0], [5]]))
    received = runner(x=inputs[0], mask=inputs[1])["output_0"]
    np.testing.assert_allclose(received, model(inputs), atol=1e-5)
