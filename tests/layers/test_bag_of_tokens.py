import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing.test_case import TestCase

from keras_combiner.layers import BagOfTokens

IDS = np.array([[1, 3, 3, 0, 0], [2, 2, 2, 2, 0], [0, 0, 0, 0, 0]])
TABLE = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")


def make(table=TABLE, **options):
    bag = BagOfTokens(*table.shape, **options)
    bag.build((None, None))
    bag.embeddings.assign(table)
    return bag


def test_is_the_sum_by_the_root_of_the_number():
    one, two, three = TABLE[1:].astype("float64")
    expected = [(one + 2 * three) / np.sqrt(3), 4 * two / 2, [0, 0]]
    np.testing.assert_allclose(make()(IDS), expected, atol=1e-6)


def test_starts_at_zero():
    assert not np.array(BagOfTokens(4, 2)(IDS)).any()


def test_order_and_padding_do_not_matter():
    expected = make()(IDS)
    np.testing.assert_allclose(make()(IDS[:, ::-1]), expected, atol=1e-6)
    np.testing.assert_allclose(make()(np.pad(IDS, [(0, 0), (3, 9)])), expected, atol=1e-6)
    table = np.where([[True], [False], [False], [False]], np.float32(1e6), TABLE)
    np.testing.assert_allclose(make(table)(IDS), expected, atol=1e-6)


def test_tokens_add_up():
    by_token = np.array(make().by_token(IDS))
    assert by_token.shape == (3, 5, 2) and not by_token[IDS == 0].any()
    np.testing.assert_allclose(by_token[0, 1], TABLE[3] / np.sqrt(3), atol=1e-6)
    np.testing.assert_allclose(by_token.sum(1), make()(IDS), atol=1e-6)


def test_the_gradient_has_one_row_an_id():
    bag = make()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(bag(IDS))
    gradient = tape.gradient(loss, bag.embeddings.value)
    assert isinstance(gradient, tf.Tensor)
    counts = np.array([0, 1 / np.sqrt(3), 4 / 2, 2 / np.sqrt(3)])
    np.testing.assert_allclose(gradient, np.repeat(counts[:, None], 2, 1), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_are_float32(dtype):
    # The sum is 160,000: too large for float16, too fine-grained for bfloat16.
    outputs = make(np.full((2, 1), 100.0), dtype=dtype)(np.ones((1, 1600), "int32"))
    assert outputs.dtype == dtype
    assert tf.cast(outputs, "float32").numpy().tolist() == [[4000.0]]


@pytest.mark.parametrize("sizes", [(0, 2), (4, 2.0)])
def test_refuses(sizes):
    with pytest.raises(ValueError, match="must be an int of at least 1"):
        BagOfTokens(*sizes)


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
class BagChecks(TestCase):
    def test_keras_layer(self):
        self.run_layer_test(
            BagOfTokens,
            init_kwargs={"vocabulary_size": 4, "units": 2, "embeddings_regularizer": "l2"},
            input_shape=(2, 5),
            input_dtype="int32",
            expected_output_shape=(2, 2),
            expected_num_trainable_weights=1,
            expected_num_losses=1,
            supports_masking=False,
        )
