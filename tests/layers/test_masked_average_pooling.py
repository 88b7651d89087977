import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing.test_case import TestCase

from keras_combiner.layers import MaskedAveragePooling

X = np.array([[[1.0, 0.0], [3.0, 2.0], [9.0, 7.0]]] * 3, "float32")
MASK = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]], bool)


def test_averages_what_counts():
    outputs = MaskedAveragePooling()(X, mask=MASK)
    np.testing.assert_allclose(outputs, [[2, 1], [9, 7], [0, 0]], atol=1e-6)


def test_without_a_mask_everything_counts():
    np.testing.assert_allclose(MaskedAveragePooling()(X[:1]), [[13 / 3, 3]], atol=1e-6)
    full = MaskedAveragePooling()(X[:1], mask=np.ones((1, 3), bool))
    np.testing.assert_allclose(full, [[13 / 3, 3]], atol=1e-6)


def test_a_row_of_padding_gives_zeros_and_teaches_nothing():
    x = tf.Variable(X)
    with tf.GradientTape() as tape:
        outputs = MaskedAveragePooling()(x, mask=MASK)
        loss = tf.reduce_sum(outputs)
    assert outputs.numpy()[2].tolist() == [0, 0]
    expected = MASK / np.maximum(MASK.sum(1, keepdims=True), 1)
    np.testing.assert_allclose(
        tape.gradient(loss, x), np.repeat(expected[..., None], 2, -1), atol=1e-6
    )


# For the masks [1 1 0], [0 0 1], [0 0 0], and for no mask.
BY_WEIGHTING = {
    "position": ([[7 / 3, 4 / 3], [9, 7], [0, 0]], [[34 / 6, 25 / 6]]),
    "first": ([[1, 0], [9, 7], [0, 0]], [[1, 0]]),
    "last": ([[3, 2], [9, 7], [0, 0]], [[9, 7]]),
}


@pytest.mark.parametrize("weighting", BY_WEIGHTING)
def test_other_weightings(weighting):
    masked, whole = BY_WEIGHTING[weighting]
    layer = MaskedAveragePooling(weighting)
    np.testing.assert_allclose(layer(X, mask=MASK), masked, atol=1e-6)
    np.testing.assert_allclose(layer(X[:1]), whole, atol=1e-6)
    again = MaskedAveragePooling.from_config(layer.get_config())
    np.testing.assert_array_equal(again(X, mask=MASK), layer(X, mask=MASK))
    padding = np.where(MASK[..., np.newaxis], X, np.float32(1e4))
    np.testing.assert_array_equal(layer(padding, mask=MASK), layer(X, mask=MASK))
    assert layer(X[:, :0], mask=MASK[:, :0]).numpy().tolist() == [[0, 0]] * 3


def test_an_unknown_weighting():
    with pytest.raises(ValueError, match="must be one of 'equal', 'position', 'first', 'last'"):
        MaskedAveragePooling("max")


def test_implicit_mask_is_used_and_ends_here():
    ids = np.array([[1, 2, 0], [2, 0, 0], [0, 0, 0]])
    x = keras.layers.Embedding(3, 2, mask_zero=True)(ids)
    outputs = MaskedAveragePooling()(x)
    np.testing.assert_allclose(outputs, MaskedAveragePooling()(np.array(x), mask=ids > 0))
    assert getattr(outputs, "_keras_mask", None) is None


def test_what_padding_holds_does_not_matter():
    x = np.where(MASK[..., np.newaxis], X, np.float32(1e4))
    expected = MaskedAveragePooling()(X, mask=MASK)
    np.testing.assert_allclose(MaskedAveragePooling()(x, mask=MASK), expected, atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_are_float32(dtype, masked):
    # The sum is 400,000: too large for float16, too fine-grained for bfloat16.
    x = np.full((1, 4000, 1), 100.0)
    mask = np.ones((1, 4000), bool) if masked else None
    outputs = MaskedAveragePooling(dtype=dtype)(x, mask=mask)
    assert outputs.dtype == dtype
    assert tf.cast(outputs, "float32").numpy().tolist() == [[100.0]]


def test_dynamic_length():
    layer = MaskedAveragePooling()
    pool = tf.function(
        lambda x, mask: layer(x, mask=mask),
        input_signature=[tf.TensorSpec([None, None, 2]), tf.TensorSpec([None, None], tf.bool)],
    )
    for length in (1, 2, 3):
        expected = layer(X[:, :length], mask=MASK[:, :length])
        np.testing.assert_allclose(pool(X[:, :length], MASK[:, :length]), expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights:UserWarning")
class PoolingChecks(TestCase):
    def test_keras_layer(self):
        self.run_layer_test(
            MaskedAveragePooling,
            init_kwargs={},
            input_shape=(2, 5, 3),
            expected_output_shape=(2, 3),
            expected_num_trainable_weights=0,
            supports_masking=True,
        )
