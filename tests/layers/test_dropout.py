"""Dropout: how much it drops, that the expectation stays, and that elements are independent."""

import keras
import numpy as np
import pytest

from keras_combiner.layers.dropout import Dropout
from tests import on_backend
from tests.layers import dropped

SHAPE = (50, 401, 21)  # 21 is not a multiple of the four elements that a draw serves


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_drops_its_share_and_keeps_the_expectation(rate):
    share, mean = dropped.shares(rate, SHAPE)
    rounded = min(max(round(rate * 256), 1), 255) / 256
    assert abs(rounded - rate) < 1 / 256
    deviation = np.sqrt(rounded * (1 - rounded) / np.prod(SHAPE))
    assert share == pytest.approx(rounded, abs=5 * deviation)
    assert mean == pytest.approx(1, abs=5 * deviation / (1 - rounded))


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_drop_as_much(backend):
    share, mean = on_backend.call(backend, dropped.shares, 0.25, SHAPE)
    assert share == pytest.approx(0.25, abs=0.005)
    assert mean == pytest.approx(1, abs=0.01)


def test_elements_are_dropped_independently():
    x = np.array(Dropout(0.5, seed=0)(np.ones((20000, 12), "float32"), training=True)) - 1
    correlations = np.corrcoef(x, rowvar=False) - np.eye(12)
    assert np.abs(correlations).max() < 5 / np.sqrt(20000)


def test_gradients_are_those_of_what_was_kept():
    import tensorflow as tf

    x = tf.ones(SHAPE)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = Dropout(0.3, seed=0)(x, training=True)
    assert np.array_equal(tape.gradient(outputs, x), outputs)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_shapes_may_be_unknown(jit_compile):
    import tensorflow as tf

    layer = Dropout(0.5, seed=0)
    shape = [None, None, 3] if jit_compile else [None, None, None]
    compiled = tf.function(
        lambda x: layer(x, training=True),
        input_signature=[tf.TensorSpec(shape)],
        jit_compile=jit_compile,
    )
    for size in (1, 5, 8):
        assert compiled(tf.ones((2, size, 3))).shape == (2, size, 3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_stays(dtype):
    outputs = Dropout(0.5, dtype=dtype)(keras.ops.ones((4, 8), dtype), training=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype


def test_extreme_rates_and_inference():
    ones = np.ones((2, 8), "float32")
    assert np.array_equal(Dropout(0)(ones, training=True), ones)
    assert np.array_equal(Dropout(1)(ones, training=True), 0 * ones)
    assert np.array_equal(Dropout(0.5)(ones, training=False), ones)
    assert np.array_equal(Dropout(0.5)(ones), ones)


def test_noise_of_another_shape_is_the_base_class_s():
    outputs = np.array(Dropout(0.5, noise_shape=(None, 1), seed=0)(np.ones((64, 9)), training=True))
    assert np.array_equal(outputs.min(axis=1), outputs.max(axis=1))
    assert len(np.unique(outputs)) == 2


def test_a_seed_repeats_and_calls_differ():
    layer, same = Dropout(0.5, seed=3), Dropout(0.5, seed=3)
    first, second = (np.array(layer(np.ones(SHAPE), training=True)) for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, same(np.ones(SHAPE), training=True))


def test_wrong_rates():
    with pytest.raises(ValueError, match="Expected a float value between 0 and 1"):
        Dropout(1.5)
