"""Backbones like ModernBERT and like Llama: gates, no biases, rotary positions alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.factorizations import Fixed, Window
from keras_combiner.layers import CombinerAttention, TokenAndPositionEmbedding
from tests.backbones.test_combiner_backbone import IDS, backbone

BOTH = {
    "rotary": True,
    "use_gated_activation": True,
    "use_bias": False,
    "use_position_embeddings": False,
}
KINDS = {
    "ModernBERT": {
        **BOTH,
        "normalization": "layer_norm_no_offset",
        "normalize_embeddings": True,
        "factorization": [Fixed(4, opened=1), Window(6)],
        "rotary_base": [160000.0, 10000.0],
    },
    "Llama": {**BOTH, "normalization": "rms_norm", "activation": "silu", "num_key_value_heads": 1},
    "Nomic": {**BOTH, "normalize_first": False},
}
FROZEN = (
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
    TokenAndPositionEmbedding,
)
every_kind = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)


def test_every_block_has_its_base_and_the_first_no_second_norm():
    model = backbone(**KINDS["ModernBERT"])
    first, second = (model.get_layer(f"encoder_{i}") for i in range(2))
    assert (first.attention.rotary_base, second.attention.rotary_base) == (160000.0, 10000.0)
    assert first.attention_norm is None and second.attention_norm is not None
    assert [x.name for x in model.layers[1:4]] == [
        "embedding",
        "embedding_norm",
        "embedding_dropout",
    ]
    x = model.get_layer("embedding_norm")(model.embedding(IDS))
    for encoder in (first, second):
        x = encoder(x, mask=IDS != 0)
    np.testing.assert_allclose(model(IDS), model.get_layer("norm")(x), atol=1e-6)


@every_kind
def test_without_a_position_table_only_distances_count(options):
    model = backbone(**options)
    assert model.embedding.position_embeddings is None
    assert not any("position" in x.path for x in model.weights)
    # Shifted by whole blocks; only then the same tokens make up a part.
    shifted = np.pad(IDS, [(0, 0), (8, 0)])
    np.testing.assert_allclose(np.array(model(shifted))[:, 8:], model(IDS), atol=1e-4)
    # And yet the order matters.
    assert np.abs(np.array(model(IDS[:, ::-1]))[:, ::-1] - np.array(model(IDS))).max() > 1e-2
    with pytest.raises(ValueError, match="at most 40 token ids"):
        model(np.ones((1, 41), "int32"))


@pytest.mark.slow
@every_kind
def test_decoding_one_token_at_a_time(options):
    model = backbone(**options, use_causal_mask=True)
    ids = IDS[:, :9]
    expected = np.array(model(ids))
    cache = model.initial_cache(len(ids))
    for position in range(9):
        outputs, cache = model.decode(ids[:, position], cache, position)
        np.testing.assert_allclose(outputs, expected[:, position], atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(y, id=x, marks=() if x == "ModernBERT" else pytest.mark.slow)
        for x, y in KINDS.items()
    ],
)
def test_training_with_mixed_precision(eager, options):
    model = backbone(**options, dtype="mixed_bfloat16")
    trainer = keras.Model(model.input, keras.layers.Dense(1, dtype="float32")(model.output))
    trainer.compile(keras.optimizers.Adam(0.01), "mse")
    losses = trainer.fit(IDS, np.ones((3, 21, 1)), epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.slow
@every_kind
def test_gradients_with_remat_and_xla(options):
    weights = backbone(**options).get_weights()
    found = []
    for remat, jit_compile in ((False, False), (True, False), (False, True)):
        model = backbone(**options, remat=remat, dropout=0.0)
        model.set_weights(weights)

        @tf.function(jit_compile=jit_compile, autograph=False)
        def compute(model=model):
            with tf.GradientTape() as tape:
                outputs = model(IDS, training=True)
                loss = tf.reduce_sum(tf.sin(outputs))
            return [outputs, *tape.gradient(loss, [x.value for x in model.trainable_weights])]

        found.append([tf.convert_to_tensor(x) for x in compute()])
    for others in found[1:]:
        for x, y in zip(found[0], others, strict=True):
            np.testing.assert_allclose(y, x, atol=1e-4 * max(1, np.abs(x).max()))


def adapt(model, rank=2):
    """Low-rank adaptation of every projection; all else is frozen. Returns how many there are."""
    adapted = 0
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dense | keras.layers.EinsumDense):
            layer.enable_lora(rank)
            adapted += 1
        elif isinstance(layer, FROZEN):
            layer.trainable = False
    return adapted


@pytest.mark.slow
@every_kind
def test_lora(eager, options):
    model = backbone(**options)
    expected = np.array(model(IDS))
    adapted = adapt(model)
    assert adapted == 2 * (4 + 3)
    np.testing.assert_allclose(model(IDS), expected, atol=1e-6)
    assert len(model.trainable_weights) == 2 * adapted
    trainer = keras.Model(model.input, keras.layers.Dense(1)(model.output))
    trainer.compile(keras.optimizers.Adam(0.01), "mse")
    losses = trainer.fit(IDS, np.ones((3, 21, 1)), epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method:UserWarning")
@pytest.mark.slow
@every_kind
@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_quantized_and_saved(quick_collections, options, mode, tmp_path):
    sizes = {"hidden_dim": 32, "intermediate_dim": 48}
    model = backbone(**options, **sizes)
    plain = np.array(model(IDS))
    model.quantize(mode)
    expected = np.array(model(IDS))
    correlation = np.corrcoef(plain.ravel(), expected.ravel())[0, 1]
    assert correlation > {"int8": 0.99, "int4": 0.6}[mode]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IDS), expected)


def test_what_it_refuses():
    with pytest.raises(
        ValueError, match=r"`rotary_base` must have one number for each layer, 2 in"
    ):
        backbone(rotary=True, rotary_base=[10.0] * 3)
    with pytest.raises(ValueError, match=r"`rotary_base` must be a number above 0. Received: 0"):
        backbone(rotary=True, rotary_base=[10.0, 0])
    with pytest.raises(ValueError, match="`normalization` must be one of 'layer_norm'"):
        backbone(normalization="none")


def test_attention_alone_has_no_biases_either():
    model = backbone(use_bias=False)
    attentions = [x for x in model._flatten_layers() if isinstance(x, CombinerAttention)]
    assert len(attentions) == 2 and not any(x.use_bias for x in attentions)
