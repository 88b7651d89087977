import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing.test_case import TestCase

from keras_combiner.layers import DensePerLabel, LabelAttentionPooling, MaskedAveragePooling

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 4)).astype("float32")
MASK = np.array([[1, 1, 0, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)
QUERIES = RNG.normal(size=(4, 3)).astype("float32")


def make(queries=QUERIES, **options):
    pooling = LabelAttentionPooling(queries.shape[1], **options)
    pooling.build((None, None, queries.shape[0]))
    pooling.queries.assign(queries)
    return pooling


def defined(x, mask, queries):
    """Weights `[batch, labels, length]` and averages by the definition, in float64."""
    x, queries = x.astype("float64"), queries.astype("float64")
    weights = np.zeros((len(x), queries.shape[1], x.shape[1]))
    for i, row in enumerate(mask):
        some = np.exp(x[i][row] @ queries)
        weights[i][:, row] = (some / some.sum(0, keepdims=True)).T
    return weights, weights @ x


def test_equals_the_definition():
    weights, averages = defined(X, MASK, QUERIES)
    np.testing.assert_allclose(make().attention_weights(X, MASK), weights, atol=1e-6)
    np.testing.assert_allclose(make()(X, mask=MASK), averages, atol=1e-6)
    everything = defined(X, np.ones_like(MASK), QUERIES)[1]
    np.testing.assert_allclose(make()(X), everything, atol=1e-6)


def test_by_hand():
    # exp(log 3) = 3 against 1: three quarters of the first label's average is the second token.
    x = np.array([[[0.0, 8.0], [1.0, 0.0], [9.0, 9.0]]], "float32")
    queries = np.array([[np.log(3), 0.0], [0.0, 0.0]], "float32")
    received = make(queries)(x, mask=np.array([[True, True, False]]))
    np.testing.assert_allclose(received, [[[0.75, 2.0], [0.5, 4.0]]], atol=1e-6)


def test_rows_sum_to_one_or_are_empty():
    weights = np.asarray(make().attention_weights(X, MASK))
    np.testing.assert_allclose(weights.sum(-1), [[1] * 3, [1] * 3, [0] * 3], atol=1e-6)
    assert (weights >= 0).all() and not weights[~np.repeat(MASK[:, None], 3, 1)].any()


def test_starts_as_the_average():
    new = LabelAttentionPooling(2)(X, mask=MASK)
    average = MaskedAveragePooling()(X, mask=MASK)
    np.testing.assert_allclose(new, np.repeat(np.array(average)[:, None], 2, 1), atol=1e-6)


def test_what_padding_holds_and_how_much_there_is_do_not_matter():
    expected = make()(X, mask=MASK)
    other = np.where(MASK[..., np.newaxis], X, np.float32(1e4))
    np.testing.assert_allclose(make()(other, mask=MASK), expected, atol=1e-6)
    longer, mask = np.pad(X, [(0, 0), (0, 7), (0, 0)]), np.pad(MASK, [(0, 0), (0, 7)])
    np.testing.assert_allclose(make()(longer, mask=mask), expected, atol=1e-6)


def test_a_row_of_padding_gives_zeros_and_teaches_nothing():
    pooling, x = make(), tf.Variable(X[2:])
    with tf.GradientTape() as tape:
        outputs = pooling(x, mask=MASK[2:])
        loss = tf.reduce_sum(outputs**2 + outputs)
    assert not outputs.numpy().any()
    for gradient in tape.gradient(loss, [x, pooling.queries.value]):
        assert not tf.convert_to_tensor(gradient).numpy().any()


def test_implicit_mask_is_used_and_ends_here():
    ids = np.array([[1, 2, 0], [2, 0, 0], [0, 0, 0]])
    x = keras.layers.Embedding(3, 4, mask_zero=True)(ids)
    outputs = make()(x)
    np.testing.assert_allclose(outputs, make()(np.array(x), mask=ids > 0))
    assert getattr(outputs, "_keras_mask", None) is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_softmax_and_sums_are_float32(dtype):
    # Logits of 90,000, which float16 does not hold; the sum of weights would be lost in bfloat16.
    x = tf.fill((1, 4000, 2), tf.constant(300.0, dtype))
    pooling = make(np.array([[300.0], [0.0]], "float32"), dtype=dtype)
    assert pooling.attention_weights(x).dtype == "float32"
    outputs = pooling(x, mask=np.ones((1, 4000), bool))
    assert outputs.dtype == dtype
    np.testing.assert_allclose(tf.cast(outputs, "float32"), [[[300.0, 300.0]]], rtol=2e-3)


def test_dynamic_length():
    layer = make()
    pool = tf.function(
        lambda x, mask: layer(x, mask=mask),
        input_signature=[tf.TensorSpec([None, None, 4]), tf.TensorSpec([None, None], tf.bool)],
        autograph=False,
    )
    for length in (1, 2, 5):
        expected = defined(X[:, :length], MASK[:, :length], QUERIES)[1]
        np.testing.assert_allclose(pool(X[:, :length], MASK[:, :length]), expected, atol=1e-6)


def test_dense_per_label_reads_a_vector_for_each_label():
    layer = DensePerLabel(2, activation="relu")
    layer.build((None, 2, 3))
    layer.kernel.assign([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]])
    layer.bias.assign([0.5, -1000.0])
    received = layer(np.array([[[1.0, 1.0, 1.0], [1.0, 10.0, 100.0]]]))
    assert np.array(received).tolist() == [[6.5, 0.0]]  # 1 + 2 + 3 + 0.5; 4 + 50 + 600 - 1000
    with pytest.raises(ValueError, match=r"\[batch, 2, features\], a vector for each"):
        DensePerLabel(2)(np.zeros((1, 3, 4)))


@pytest.mark.parametrize("number", [0, 2.0, None])
def test_refuses(number):
    with pytest.raises(ValueError, match="`num_labels` must be an int of at least 1"):
        LabelAttentionPooling(number)


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
class LayerChecks(TestCase):
    def test_pooling(self):
        self.run_layer_test(
            LabelAttentionPooling,
            init_kwargs={"num_labels": 4, "queries_regularizer": "l2"},
            input_shape=(2, 5, 3),
            expected_output_shape=(2, 4, 3),
            expected_num_trainable_weights=1,
            expected_num_losses=1,
            supports_masking=True,
        )

    def test_dense_per_label(self):
        self.run_layer_test(
            DensePerLabel,
            init_kwargs={"units": 4},
            input_shape=(2, 4, 3),
            expected_output_shape=(2, 4),
            expected_num_trainable_weights=2,
            supports_masking=True,
        )
