import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.factorizations import Fixed, Window
from keras_combiner.layers import gelu_approximate
from keras_combiner.models import SIZES, CombinerBackbone

SMALL = {
    "vocabulary_size": 30,
    "sequence_length": 40,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 12,
    "block_size": 4,
}
IDS = np.random.default_rng(0).integers(1, 30, size=(3, 21))
OPTIONS = {
    "defaults": {},
    "post-norm": {"normalize_first": False},
    "causal": {"use_causal_mask": True, "summary": "max"},
    "rotary, grouped": {"rotary": True, "num_key_value_heads": 1, "rotary_base": 50.0},
    "as BERT": {
        "normalize_first": False,
        "activation": gelu_approximate,
        "layer_norm_epsilon": 1e-12,
        "kernel_initializer": keras.initializers.TruncatedNormal(stddev=0.02),
        "kernel_regularizer": "l2",
    },
    "plan object": {"factorization": Fixed(5), "summary": "mean"},
    "as ModernBERT": {
        "factorization": [Fixed(4, opened=1), Window(5)],
        "rotary": True,
        "rotary_base": [160000.0, 10000.0],
        "use_bias": False,
        "use_gated_activation": True,
        "use_position_embeddings": False,
        "normalization": "layer_norm_no_offset",
        "normalize_embeddings": True,
    },
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def backbone(**options):
    """A backbone whose weights are large enough for tokens to hear each other."""
    model = CombinerBackbone(**{**SMALL, **options})
    generator = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(generator.normal(size=weight.shape) * 0.5)
    return model


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_sizes(size):
    model = CombinerBackbone.from_size(size, vocabulary_size=50, sequence_length=30, block_size=8)
    expected = SIZES[size]
    assert {k: model.arguments[k] for k in expected} == expected
    outputs = model(np.ones((2, 17), "int32"))
    assert outputs.shape == (2, 17, expected["hidden_dim"])
    encoders = [x for x in model.layers if type(x).__name__ == "CombinerEncoder"]
    assert len(encoders) == expected["num_layers"]
    assert {x.attention.plan.block_size for x in encoders} == {8}
    assert {x.attention.num_heads for x in encoders} == {expected["num_heads"]}
    assert {x.intermediate_dim for x in encoders} == {expected["intermediate_dim"]}


def test_base_has_the_shape_of_bert():
    base = {"num_layers": 12, "num_heads": 12, "hidden_dim": 768, "intermediate_dim": 3072}
    assert SIZES["base"] == base


def test_a_size_may_be_overridden():
    model = CombinerBackbone.from_size("tiny", 50, 30, num_layers=1, hidden_dim=24)
    assert model.arguments["num_layers"] == 1
    assert model(IDS).shape == (3, 21, 24)


def test_unknown_size():
    with pytest.raises(ValueError, match=r"`size` must be one of 'tiny', 'small', 'base'.*'huge'"):
        CombinerBackbone.from_size("huge", 50, 30)


@every_option
def test_padding_does_not_matter(options):
    model = backbone(**options)
    expected = np.array(model(IDS))
    for more in (1, 3, 19):
        outputs = np.array(model(np.pad(IDS, [(0, 0), (0, more)])))
        np.testing.assert_allclose(outputs[:, :21], expected, atol=1e-5)
        assert np.isfinite(outputs).all()


def test_documents_of_unequal_length_share_a_batch():
    model = backbone()
    ids = IDS.copy()
    ids[1, 9:] = 0
    ids[2] = 0
    outputs = np.array(model(ids))
    np.testing.assert_allclose(outputs[0], model(IDS[:1])[0], atol=1e-5)
    np.testing.assert_allclose(outputs[1, :9], model(ids[1:2, :9])[0], atol=1e-5)
    assert np.isfinite(outputs).all()


@pytest.mark.parametrize("normalize_first", [False, True])
def test_a_causal_backbone_does_not_see_the_future(normalize_first):
    model = backbone(use_causal_mask=True, normalize_first=normalize_first)
    before = np.array(model(IDS))
    for changed in (0, 8, 20):
        ids = IDS.copy()
        ids[:, changed] = ids[:, changed] % 29 + 1
        after = np.array(model(ids))
        np.testing.assert_allclose(after[:, :changed], before[:, :changed], atol=1e-6)
        assert np.abs(after[:, changed:] - before[:, changed:]).max() > 1e-3


def test_a_bidirectional_backbone_sees_the_last_token_from_the_first():
    model = backbone()
    ids = IDS.copy()
    ids[:, 20] = ids[:, 20] % 29 + 1
    assert np.abs(np.array(model(ids)) - model(IDS))[:, 0].max() > 1e-5


@every_option
def test_mask_is_passed_on(options):
    model = backbone(**options)
    ids = np.pad(IDS, [(0, 0), (0, 5)])
    assert model.outputs[0]._keras_mask is not None
    np.testing.assert_array_equal(model(ids)._keras_mask, ids != 0)


def test_any_length_up_to_sequence_length():
    model = backbone()
    call = tf.function(model, input_signature=[tf.TensorSpec([None, None], "int32")])
    for length in (1, 3, 4, 21, 40):
        ids = np.resize(IDS, (2, length)).astype("int32")
        np.testing.assert_allclose(call(ids), model(ids), atol=1e-5)
    with pytest.raises(ValueError, match="at most 40 token ids"):
        model(np.ones((1, 41), "int32"))


@pytest.mark.parametrize("block_size", [21, 100])
def test_blocks_longer_than_the_text_are_full_attention(block_size):
    weights = backbone().get_weights()
    outputs = []
    for summary in ("max", "variational"):
        model = backbone(block_size=block_size, summary=summary)
        model.set_weights(weights)
        outputs.append(model(IDS))
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-6)


# Three options are numbers or names, as others are that the quick tests keep in files.
SLOW = ("defaults", "post-norm", "causal")


@pytest.mark.parametrize(
    "options",
    [
        *(
            pytest.param(x, id=name, marks=pytest.mark.slow if name in SLOW else ())
            for name, x in OPTIONS.items()
        ),
        pytest.param({"dtype": "mixed_bfloat16", "dropout": 0.3, "name": "tower"}, id="mixed"),
    ],
)
def test_config_and_file_round_trip(options, tmp_path):
    model = backbone(**options)
    config = json.loads(json.dumps(model.get_config()))
    copy = CombinerBackbone.from_config(config)
    assert copy.get_config() == model.get_config()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is CombinerBackbone
    assert loaded.get_config() == model.get_config()
    received, expected = (tf.cast(m(IDS), "float32") for m in (loaded, model))
    np.testing.assert_array_equal(received, expected)


def test_grouped_queries_and_rotary_positions_reach_every_layer():
    model = backbone(**OPTIONS["rotary, grouped"])
    for i in range(2):
        attention = model.get_layer(f"encoder_{i}").attention
        assert attention.key_dense.kernel.shape == (8, 1, 4)
        assert (attention.rotary, attention.rotary_base) == (True, 50.0)


def test_activation_and_epsilon_reach_every_layer():
    model = backbone(activation="relu", layer_norm_epsilon=1e-3)
    assert model.get_layer("norm").epsilon == 1e-3
    for i in range(2):
        encoder = model.get_layer(f"encoder_{i}")
        assert encoder.feedforward_intermediate.activation is keras.activations.relu
        assert encoder.attention_norm.epsilon == encoder.feedforward_norm.epsilon == 1e-3
    default = backbone().get_layer("encoder_0")
    assert default.activation is keras.activations.gelu
    assert default.layer_norm_epsilon == 1e-5


def test_models_saved_before_there_were_activation_and_epsilon_load():
    config = backbone().get_config()
    old = {x: y for x, y in config.items() if x not in ("activation", "layer_norm_epsilon")}
    assert CombinerBackbone.from_config(old).get_config() == config


def test_trainable_survives_the_config():
    model = backbone()
    assert CombinerBackbone.from_config(model.get_config()).trainable_weights
    model.trainable = False
    copy = CombinerBackbone.from_config(model.get_config())
    assert not copy.trainable
    assert not copy.trainable_weights


def trained_with_it(model):
    """Paths of the weights that a model around a backbone trains."""
    ids = keras.Input((None,), dtype="int32")
    return [x.path for x in keras.Model(ids, model(ids)).trainable_weights]


@pytest.mark.parametrize("frozen", [[], ["embedding", "encoder_0"], "all", "all but norm"])
def test_what_is_frozen_stays_so_in_files(frozen, tmp_path):
    model = backbone()
    if isinstance(frozen, str):
        model.trainable = False
        model.get_layer("norm").trainable = frozen != "all"
    for name in frozen if isinstance(frozen, list) else ():
        model.get_layer(name).trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.trainable == model.trainable
    assert trained_with_it(loaded) == trained_with_it(model)
    assert trained_with_it(CombinerBackbone(**SMALL, trainable=False)) == []


@pytest.mark.parametrize(
    "dtype", [pytest.param("mixed_float16", marks=pytest.mark.slow), "mixed_bfloat16"]
)
def test_mixed_precision_trains(eager, dtype):
    model = CombinerBackbone(**{**SMALL, "num_layers": 1}, dtype=dtype, dropout=0.0)
    policies = {x.dtype_policy.name for x in model.layers if x.name != "token_ids"}
    assert policies == {dtype}
    assert model(IDS).dtype == dtype.removeprefix("mixed_")
    head = keras.layers.Dense(1, dtype="float32")(model.output)
    trainer = keras.Model(model.input, head)
    trainer.compile(keras.optimizers.Adam(0.01), "mse")
    ids = IDS.copy()
    ids[1, 9:] = 0
    ids[2] = 0
    history = trainer.fit(ids, np.ones((3, 21, 1)), epochs=5, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_global_dtype_policy_is_the_default():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = CombinerBackbone(**SMALL)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model(IDS).dtype == "bfloat16"
    assert CombinerBackbone.from_config(model.get_config())(IDS).dtype == "bfloat16"


def test_dropout_is_off_at_inference_and_on_in_training():
    model = backbone(dropout=0.5)
    np.testing.assert_array_equal(model(IDS), backbone(dropout=0.0)(IDS))
    assert np.abs(np.array(model(IDS, training=True)) - model(IDS)).max() > 1e-2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_heads": 3}, "must divide the 8 features"),
        ({"block_size": 0}, "`block_size` must be an int of at least 1"),
        ({"summary": "median"}, "`summary` must be one of"),
        ({"num_key_value_heads": 3}, "`num_key_value_heads` must be an int that divides"),
        ({"factorization": "axial"}, "`factorization` must be one of"),
        ({"vocabulary_size": 0}, "`vocabulary_size` must be an int of at least 1"),
        ({"sequence_length": None}, "`sequence_length` must be an int of at least 1"),
        ({"num_layers": 0}, "`num_layers` must be an int of at least 1"),
        ({"num_layers": 1.5}, "`num_layers` must be an int of at least 1"),
        ({"hidden_dim": 0}, "must be an int of at least 1"),
        ({"intermediate_dim": 0}, "`intermediate_dim` must be an int of at least 1"),
    ],
)
def test_wrong_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        CombinerBackbone(**{**SMALL, **options})


def test_unknown_arguments():
    with pytest.raises(TypeError, match="does not have: block_sise, causal"):
        CombinerBackbone(**SMALL, causal=True, block_sise=8)


@pytest.mark.parametrize(
    "plan", [pytest.param("logsparse", marks=pytest.mark.slow), "axial_horizontal"]
)
def test_static_length(plan, tmp_path):
    model = backbone(factorization=plan, static_length=True, num_layers=1)
    assert model.input_shape == (None, 40)
    ids = np.pad(IDS, [(0, 0), (0, 19)])
    call = tf.function(model, input_signature=[tf.TensorSpec([None, 40], "int32")])
    free = backbone(factorization=plan, num_layers=1)
    np.testing.assert_allclose(call(ids.astype("int32"))[:, :21], free(IDS), atol=1e-5)
    model.save(tmp_path / "backbone.keras")
    assert keras.saving.load_model(tmp_path / "backbone.keras").input_shape == (None, 40)
    with pytest.raises(ValueError, match=r"static length.*static_length=True"):
        tf.function(free, input_signature=[tf.TensorSpec([None, None], "int32")])(ids)
