"""Dtypes: declared ones, maps of policies, and quantization that survives saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.dtype_policies import DTypePolicyMap

from keras_combiner.layers import (
    CombinerAttention,
    CombinerEncoder,
    MaskedAveragePooling,
    TokenAndPositionEmbedding,
)
from keras_combiner.models import CombinerBackbone

LENGTH, FEATURES = 12, 32

pytestmark = pytest.mark.filterwarnings(
    "ignore:Layer .* does not have a `quantize` method implemented:UserWarning"
)


def tokens(seed=0):
    return np.random.default_rng(seed).normal(size=(2, LENGTH, FEATURES)).astype("float32")


def dtypes(tensors):
    return [keras.backend.standardize_dtype(x.dtype) for x in tensors]


@pytest.mark.parametrize("length", [LENGTH, None])
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16", "float16"])
def test_a_functional_model_with_scores(dtype, length):
    x = keras.Input((length, FEATURES))
    layer = CombinerAttention(4, 8, value_dim=3, output_shape=(5, 2), block_size=4, dtype=dtype)
    symbolic = layer(x, x, return_attention_scores=True)
    assert [y.shape for y in symbolic] == [(None, length, 5, 2), (None, 4, length, length)]
    results = keras.Model(x, symbolic)(tokens())
    assert [tuple(y.shape) for y in results] == [(2, LENGTH, 5, 2), (2, 4, LENGTH, LENGTH)]
    assert dtypes(results) == dtypes(symbolic) == [dtype.removeprefix("mixed_")] * 2


class TestFloat64:
    """What is computed in float64 is right to more digits than float32 has."""

    def test_attention(self):
        x = tokens().astype("float64")
        # Keras rounds one over the square root of the size of a head, if that is not a power of 2.
        full = keras.layers.MultiHeadAttention(4, 4, dtype="float64")
        expected = full(x, x)
        layer = CombinerAttention(4, 4, block_size=LENGTH, dtype="float64")
        layer.build(x.shape, x.shape)
        layer.set_weights(full.get_weights())
        np.testing.assert_allclose(layer(x, x), expected, rtol=0, atol=1e-14)

    def test_decoding(self):
        x = tokens().astype("float64")
        layer = CombinerEncoder(
            4, 16, block_size=4, rotary=True, use_causal_mask=True, dtype="float64"
        )
        expected = layer(x)
        cache = layer.initial_cache(len(x), LENGTH)
        for i in range(LENGTH):
            received, cache = layer.decode(x[:, i], cache, i)
            np.testing.assert_allclose(received, expected[:, i], rtol=0, atol=1e-13)

    @pytest.mark.parametrize("summary", ["max", "mean", "variational"])
    def test_routing_moves_its_centroids(self, summary):
        x = tokens().astype("float64")
        layer = CombinerAttention(
            4, 8, block_size=4, factorization="routing", summary=summary, dtype="float64"
        )
        layer(x, x)
        before = np.array(layer.plan_weights["centroids"])
        assert dtypes([layer(x, x, training=True)]) == ["float64"]
        assert np.any(np.array(layer.plan_weights["centroids"]) != before)

    def test_pooling_and_embedding(self):
        x, mask = tokens().astype("float64"), np.arange(LENGTH) < 5
        pooled = MaskedAveragePooling(dtype="float64")(x, mask=np.tile(mask, (2, 1)))
        np.testing.assert_allclose(pooled, x[:, :5].mean(1), rtol=0, atol=1e-15)
        embedding = TokenAndPositionEmbedding(9, LENGTH, FEATURES, dtype="float64")
        embedded = embedding(np.ones((1, LENGTH), "int32"))
        logits = embedding.token_embedding(embedded, reverse=True)
        assert dtypes([embedded, logits]) == ["float64", "float64"]


def test_shapes_that_the_call_refuses_are_not_declared():
    layer = CombinerAttention(4, 8)
    assert layer.compute_output_shape([2, 5, 8], [2, 5, 7], [2, 5, 6]) == (2, 5, 8)
    with pytest.raises(ValueError, match="same length"):
        layer.compute_output_shape((2, 5, 8), (2, 6, 8))
    with pytest.raises(ValueError, match="features"):
        layer.compute_output_shape((2, 3, 5, 8), (2, 3, 5, 8))


@pytest.mark.parametrize("name", ["query", "key", "value", "attention_output", "gate"])
def test_a_projection_may_have_its_own_policy(name):
    policies = DTypePolicyMap(keras.DTypePolicy("float32"))
    policies[f"attend/{name}"] = keras.DTypePolicy("mixed_bfloat16")
    layer = CombinerAttention(4, 8, block_size=4, use_gate=True, dtype=policies, name="attend")
    x = keras.Input((LENGTH, FEATURES))
    symbolic = layer(x, x, return_attention_scores=True)
    results = layer(tokens(), tokens(), return_attention_scores=True)
    own = {"attention_output": ["bfloat16", "float32"], "value": ["float32", "bfloat16"]}
    assert dtypes(results) == dtypes(symbolic) == own.get(name, ["float32", "float32"])
    plain = CombinerAttention(4, 8, block_size=4, use_gate=True)
    plain.build(x.shape, x.shape)
    plain.set_weights(layer.get_weights())
    expected = plain(tokens(), tokens())
    np.testing.assert_allclose(tf.cast(results[0], "float32"), expected, atol=5e-2)
    assert np.abs(tf.cast(results[0], "float32") - expected).max() > 0


def test_a_map_reaches_the_layers_of_an_encoder():
    policies = DTypePolicyMap(keras.DTypePolicy("mixed_bfloat16"))
    policies["block/attention/query"] = keras.dtype_policies.get("int8_from_float32")
    policies["block/feedforward_.*"] = keras.DTypePolicy("float32")
    layer = CombinerEncoder(4, 16, dtype=policies, name="block")
    copy = CombinerEncoder.from_config(layer.get_config())
    for block in (layer, copy):
        block.build((None, None, FEATURES))
        assert block.attention.query_dense._kernel.dtype == "int8"
        assert block.attention.key_dense.compute_dtype == "bfloat16"
        assert block.feedforward_output.compute_dtype == "float32"


def attention(x):
    options = {"block_size": 4, "use_gate": True, "num_key_value_heads": 2, "rotary": True}
    return CombinerAttention(4, 8, **options)(x, x)


def encoder(x):
    return CombinerEncoder(4, 64, block_size=4, dtype="float32")(x)


@pytest.mark.parametrize(
    ("build", "mode", "levels"),
    [
        (attention, "int8", 127),
        pytest.param(encoder, "int4", 7, marks=pytest.mark.slow),
        pytest.param(attention, "int4", 7, marks=pytest.mark.slow),
        pytest.param(encoder, "int8", 127, marks=pytest.mark.slow),
    ],
)
def test_quantized_models(build, mode, levels, tmp_path):
    x = keras.Input((LENGTH, FEATURES))
    model = keras.Model(x, build(x))
    expected = np.array(model(tokens()))
    model.quantize(mode)
    outputs = np.array(model(tokens()))
    error = np.sqrt(np.mean((outputs - expected) ** 2) / np.mean(expected**2))
    # Rounding moves a kernel by about its largest number / levels; a value passes two of them.
    assert 0 < error < 2 / levels
    check_saving(model, tokens(), tmp_path)
    # What was loaded can be saved again.
    model.save(tmp_path / "first.keras")
    keras.saving.load_model(tmp_path / "first.keras").save(tmp_path / "second.keras")
    second = keras.saving.load_model(tmp_path / "second.keras")
    np.testing.assert_array_equal(second(tokens()), outputs)


def check_saving(model, inputs, folder):
    expected = np.array(model(inputs))
    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras")
    np.testing.assert_array_equal(loaded(inputs), expected)
    kinds = [[(w.path, w.dtype) for w in m.weights] for m in (model, loaded)]
    assert kinds[0] == kinds[1]
    assert any(dtype == "int8" for _, dtype in kinds[0])
    model.export(folder / "exported", verbose=False)
    exported = tf.saved_model.load(folder / "exported")
    np.testing.assert_allclose(exported.serve(inputs), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float32"])
def test_a_quantized_backbone(dtype, tmp_path):
    model = CombinerBackbone(30, 40, 1, 2, 16, 8, block_size=4, dtype=dtype)
    ids = np.random.default_rng(0).integers(1, 30, size=(2, 9)).astype("int32")
    model.quantize("int8")
    outputs = model(ids)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.embedding.token_embedding._embeddings.dtype == "int8"
    received, expected = (tf.cast(x, "float32") for x in (loaded(ids), outputs))
    np.testing.assert_array_equal(received, expected)
    assert loaded.get_layer("norm").compute_dtype == model.get_layer("norm").compute_dtype
