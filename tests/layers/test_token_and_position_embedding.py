import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing.test_case import TestCase

from keras_combiner.layers import TokenAndPositionEmbedding

IDS = np.array([[3, 1, 4, 0], [1, 0, 0, 0]])


@pytest.fixture
def layer():
    return TokenAndPositionEmbedding(6, sequence_length=5, embedding_dim=3)


def test_adds_the_embedding_of_the_token_and_that_of_its_place(layer):
    outputs = layer(IDS)
    tokens, positions = (x.numpy() for x in layer.weights)
    if tokens.shape == (5, 3):
        tokens, positions = positions, tokens
    assert (tokens.shape, positions.shape) == ((6, 3), (5, 3))
    np.testing.assert_allclose(outputs, tokens[IDS] + positions[:4], atol=1e-7)


def test_mask_is_true_at_ids_other_than_zero(layer):
    np.testing.assert_array_equal(layer(IDS)._keras_mask, IDS != 0)
    np.testing.assert_array_equal(layer.compute_mask(IDS), IDS != 0)


def test_both_tables_are_trained(layer):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(IDS) ** 2)
    gradients = tape.gradient(loss, [w.value for w in layer.trainable_weights])
    assert len(gradients) == 2
    assert all(x is not None and tf.reduce_any(tf.convert_to_tensor(x) != 0) for x in gradients)


def test_the_gradient_of_a_token_is_summed_before_an_optimizer_sees_it(layer):
    token_ids = np.array([[1, 1, 1, 2], [1, 1, 3, 0]])
    layer.build(token_ids.shape)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(token_ids))
    table = layer.token_embedding.embeddings.value
    gradient = tape.gradient(loss, table)
    assert isinstance(gradient, tf.Tensor)
    np.testing.assert_array_equal(gradient, np.outer([1, 5, 1, 1, 0, 0], np.ones(3)))


def test_adam_moves_frequent_tokens_as_far_as_rare_ones(layer):
    """Its first step is the learning rate, whatever the size of the gradient."""
    token_ids = np.array([[1, 1, 1, 2], [1, 1, 3, 0]])
    layer.build(token_ids.shape)
    table = layer.token_embedding.embeddings
    before = table.numpy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(token_ids))
    keras.optimizers.Adam(0.1).apply([tape.gradient(loss, table.value)], [table])
    moved = before - table.numpy()
    np.testing.assert_allclose(moved, 0.1 * np.outer([1, 1, 1, 1, 0, 0], np.ones(3)), atol=1e-6)


@pytest.mark.parametrize("length", [1, 4, 5])
def test_up_to_sequence_length(layer, length):
    assert layer(np.ones((2, length), "int32")).shape == (2, length, 3)


def test_longer_sequences_are_refused(layer):
    words = r"at most 5 token ids \(sequence_length\).*shape \(2, 6\).*larger sequence_length"
    with pytest.raises(ValueError, match=words):
        layer(np.ones((2, 6), "int32"))
    with pytest.raises(ValueError, match="at most 5 token ids"):
        layer(keras.Input((6,), dtype="int32"))
    with pytest.raises(ValueError, match="at most 5 token ids"):
        layer.compute_output_shape((None, 6))


def test_longer_sequences_of_dynamic_length_are_refused_too(layer):
    layer(IDS)
    call = tf.function(layer, input_signature=[tf.TensorSpec([None, None], "int32")])
    assert call(IDS.astype("int32")).shape == (2, 4, 3)
    with pytest.raises(tf.errors.InvalidArgumentError):
        call(np.ones((2, 6), "int32"))


@pytest.mark.parametrize("name", ["vocabulary_size", "sequence_length", "embedding_dim"])
@pytest.mark.parametrize("size", [0, -1, 2.0, None])
def test_wrong_sizes(name, size):
    sizes = {"vocabulary_size": 6, "sequence_length": 5, "embedding_dim": 3, name: size}
    with pytest.raises(ValueError, match=f"`{name}` must be an int of at least 1"):
        TokenAndPositionEmbedding(**sizes)


def test_config_and_file_round_trip(tmp_path):
    layer = TokenAndPositionEmbedding(
        6,
        5,
        3,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=0.5),
        dtype="mixed_bfloat16",
        name="embed",
    )
    config = json.loads(json.dumps(layer.get_config()))
    copy = TokenAndPositionEmbedding.from_config(config)
    assert copy.get_config() == layer.get_config()
    assert copy.embeddings_initializer.stddev == 0.5
    ids = keras.Input((None,), dtype="int32")
    model = keras.Model(ids, layer(ids))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    received, expected = (tf.cast(m(IDS), "float32") for m in (loaded, model))
    np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize("seed", [None, 1])
def test_the_two_tables_start_out_different(seed):
    initializer = keras.initializers.RandomUniform(seed=seed)
    layer = TokenAndPositionEmbedding(5, 5, 3, embeddings_initializer=initializer)
    layer(IDS)
    first, second = layer.get_weights()
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
class EmbeddingChecks(TestCase):
    def test_keras_layer(self):
        self.run_layer_test(
            TokenAndPositionEmbedding,
            init_kwargs={"vocabulary_size": 6, "sequence_length": 5, "embedding_dim": 3},
            input_data=IDS,
            expected_output_shape=(2, 4, 3),
            expected_num_trainable_weights=2,
            supports_masking=True,
        )


def test_without_position_embeddings():
    layer = TokenAndPositionEmbedding(10, 6, 4, use_position_embeddings=False)
    ids = np.array([[3, 1, 0], [3, 3, 2]])
    outputs = np.array(layer(ids))
    np.testing.assert_array_equal(outputs, np.array(layer.token_embedding.embeddings)[ids])
    np.testing.assert_array_equal(layer.decode(ids[:, 1], 1), outputs[:, 1])
    assert len(layer.weights) == 1
    copy = TokenAndPositionEmbedding.from_config(layer.get_config())
    assert not copy.use_position_embeddings
    with pytest.raises(ValueError, match="at most 6 token ids"):
        layer(np.ones((1, 7), "int32"))
