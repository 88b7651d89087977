import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing.test_case import TestCase

from keras_combiner.factorizations import Fixed
from keras_combiner.layers import CombinerEncoder
from tests import reference

BATCH, LENGTH, FEATURES = 3, 21, 8


def tokens(seed=0, length=LENGTH):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(BATCH, length, FEATURES)).astype("float32")


def built(**options):
    options = {"num_heads": 2, "intermediate_dim": 12, "block_size": 4, **options}
    layer = CombinerEncoder(**options)
    layer.build((None, None, FEATURES))
    generator = np.random.default_rng(0)
    for weight in layer.trainable_weights:
        weight.assign(generator.normal(size=weight.shape) * 0.5)
    return layer


OPTIONS = {
    "pre-norm": {},
    "post-norm": {"normalize_first": False},
    "causal": {"use_causal_mask": True},
    "variational": {"summary": "variational", "key_dim": 3},
    "rotary, grouped": {"rotary": True, "num_key_value_heads": 1},
    "gated, no biases": {
        "use_gated_activation": True,
        "use_bias": False,
        "normalization": "rms_norm",
    },
    "mean, causal": {"summary": "mean", "use_causal_mask": True, "normalize_first": False},
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def normalize(x, norm):
    x = np.asarray(x, "float64")
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + norm.epsilon)
    return x * norm.gamma.numpy() + norm.beta.numpy()


def feed_forward(x, layer):
    kernel, bias = layer.feedforward_intermediate.get_weights()
    hidden = keras.activations.gelu(tf.constant(x @ kernel + bias, "float32")).numpy()
    kernel, bias = layer.feedforward_output.get_weights()
    return hidden @ kernel + bias


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("normalize_first", [False, True])
def test_is_attention_then_feed_forward(normalize_first, causal):
    layer = built(normalize_first=normalize_first, use_causal_mask=causal)
    mask = reference.padding_mask("scattered", BATCH, LENGTH)

    def attend(x):
        x = x.astype("float32")
        return np.array(
            layer.attention(x, x, attention_mask=mask, use_causal_mask=causal), "float64"
        )

    first, second = layer.attention_norm, layer.feedforward_norm
    x = tokens().astype("float64")
    if normalize_first:
        x = x + attend(normalize(x, first))
        x = x + feed_forward(normalize(x, second), layer)
    else:
        x = normalize(x + attend(x), first)
        x = normalize(x + feed_forward(x, layer), second)
    outputs = np.array(layer(tokens(), mask=mask))
    np.testing.assert_allclose(outputs, x, atol=1e-5 * np.abs(x).max())


WEIGHTS = {
    "attention/query",
    "attention/key",
    "attention/value",
    "attention/attention_output",
    "feedforward_intermediate",
    "feedforward_output",
}


def of_kind(layer, kind):
    """`{path of a sublayer in the block: its kernel or bias}`; `kind` is "kernel" or "bias"."""
    paths = {x.path.removeprefix(f"{layer.path}/"): x for x in layer.weights}
    return {path.removesuffix(f"/{kind}"): x for path, x in paths.items() if path.endswith(kind)}


def test_initializers_make_every_kernel_and_bias():
    layer = CombinerEncoder(
        2,
        8,
        summary="mean",
        kernel_initializer=keras.initializers.RandomUniform(2.0, 3.0),
        bias_initializer="ones",
    )
    layer.build((None, None, FEATURES))
    kernels, biases = of_kind(layer, "kernel"), of_kind(layer, "bias")
    assert set(kernels) == set(biases) == WEIGHTS
    for kernel in kernels.values():
        assert 2 <= np.min(kernel) < np.max(kernel) <= 3
    for bias in biases.values():
        np.testing.assert_array_equal(bias, np.ones(bias.shape))
    # An initializer that was used twice would give the same numbers.
    first, second = (kernels[f"feedforward_{x}"].numpy() for x in ("intermediate", "output"))
    assert first.shape == second.shape and not np.array_equal(first, second)


def test_regularizers_add_to_the_loss_what_they_say():
    layer = built(kernel_regularizer=keras.regularizers.L2(0.5), bias_regularizer="l1")
    kernels, biases = of_kind(layer, "kernel"), of_kind(layer, "bias")
    assert set(kernels) == set(biases) == WEIGHTS
    expected = sum(0.5 * np.sum(np.square(x)) for x in kernels.values())
    expected += sum(0.01 * np.sum(np.abs(x)) for x in biases.values())
    np.testing.assert_allclose(sum(map(float, layer.losses)), expected, rtol=1e-5)
    assert not built().losses


@every_option
def test_attention_scores_on_request(options):
    layer = built(**options)
    mask = reference.padding_mask("right", BATCH, LENGTH)
    outputs, scores = layer(tokens(), mask=mask, return_attention_scores=True)
    np.testing.assert_allclose(outputs, layer(tokens(), mask=mask), atol=1e-5)
    normalized = layer.attention_norm(tokens()) if layer.normalize_first else tokens()
    causal = layer.use_causal_mask
    _, expected = layer.attention(
        normalized,
        normalized,
        attention_mask=mask,
        use_causal_mask=causal,
        return_attention_scores=True,
    )
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert scores.shape == (BATCH, 2, LENGTH, LENGTH)
    np.testing.assert_allclose(np.sum(scores, -1), np.ones(scores.shape[:3]), atol=1e-5)


def test_attention_scores_in_a_functional_model_that_is_saved(tmp_path):
    x = keras.Input((LENGTH, FEATURES))
    model = keras.Model(x, built(remat=True, dropout=0.1)(x, return_attention_scores=True))
    assert [y.shape for y in model.outputs] == [
        (None, LENGTH, FEATURES),
        (None, 2, LENGTH, LENGTH),
    ]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for received, expected in zip(loaded(tokens()), model(tokens()), strict=True):
        np.testing.assert_array_equal(received, expected)
    outputs, scores = model(tokens(), training=True)
    assert outputs.shape == (BATCH, LENGTH, FEATURES)
    np.testing.assert_allclose(np.sum(scores, -1), np.ones(scores.shape[:3]), atol=1e-5)


def test_key_dim_is_the_features_over_the_heads_unless_given():
    assert built().attention.key_dim == 4
    assert built(num_heads=3, key_dim=5).attention.key_dim == 5
    assert built(num_heads=3, key_dim=5)(tokens()).shape == (BATCH, LENGTH, FEATURES)


@every_option
def test_padding_does_not_matter(options):
    layer = built(**options)
    expected = np.array(layer(tokens()))
    mask = np.arange(LENGTH + 9)[np.newaxis].repeat(BATCH, 0) < LENGTH
    for fill in (0.0, 1e4):
        padded = np.pad(tokens(), [(0, 0), (0, 9), (0, 0)], constant_values=fill)
        outputs = np.array(layer(padded, mask=mask))
        np.testing.assert_allclose(outputs[:, :LENGTH], expected, atol=1e-5)
        assert np.isfinite(outputs).all()


@pytest.mark.parametrize("normalize_first", [False, True])
@pytest.mark.parametrize("kind", reference.PADDINGS)
def test_causal_blocks_do_not_see_the_future(kind, normalize_first):
    layer = built(use_causal_mask=True, normalize_first=normalize_first)
    mask = reference.padding_mask(kind, BATCH, LENGTH)
    places = (0, 8, 20)
    x = np.stack([tokens()] * (1 + len(places)))
    for i, changed in enumerate(places, 1):
        x[i, :, changed, 0] += 3
    # All in one batch, with the same mask for each.
    masks = None if mask is None else np.tile(mask, (1 + len(places), 1))
    outputs = np.array(layer(x.reshape(-1, LENGTH, FEATURES), mask=masks))
    before, *moved = np.split(outputs, 1 + len(places))
    for changed, after in zip(places, moved, strict=True):
        np.testing.assert_allclose(after[:, :changed], before[:, :changed], atol=1e-6)
        assert np.abs(after[:, changed] - before[:, changed]).max() > 1e-3


def test_implicit_mask_is_used_and_passed_on():
    layer = built()
    ids = np.where(reference.padding_mask("right", BATCH, LENGTH), 3, 0)
    x = keras.layers.Embedding(5, FEATURES, mask_zero=True)(ids)
    outputs = layer(x)
    np.testing.assert_array_equal(outputs._keras_mask, ids != 0)
    np.testing.assert_allclose(outputs, layer(np.array(x), mask=ids != 0), atol=1e-6)
    # An encoder on top sees it as well.
    second = layer(outputs)
    expected = layer(np.array(outputs), mask=ids != 0)
    np.testing.assert_allclose(second, expected, atol=1e-6)


def test_dropout_is_off_at_inference_and_on_in_training():
    layer = built(dropout=0.5)
    expected = np.array(built()(tokens()))
    np.testing.assert_array_equal(layer(tokens()), expected)
    first, second = (np.array(layer(tokens(), training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-2
    # All three places: attention weights and both sublayers' outputs.
    assert layer.attention.dropout == layer.dropout_layer.rate == 0.5


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "dropout": 0.2,
            "activation": "relu",
            "normalize_first": False,
            "layer_norm_epsilon": 1e-3,
            "use_causal_mask": True,
            "factorization": Fixed(8),
            "block_size": 16,
            "summary": "variational",
            "num_key_value_heads": 1,
            "rotary": True,
            "rotary_base": 50.0,
            "rotary_scaling_factor": 2.0,
            "use_bias": True,
            "use_gated_activation": True,
            "normalization": "layer_norm_no_offset",
            "use_attention_norm": True,
            "locality": 6.0,
            "key_dim": 4,
            "kernel_initializer": keras.initializers.TruncatedNormal(stddev=0.02, seed=3),
            "bias_initializer": "ones",
            "kernel_regularizer": "l2",
            "bias_regularizer": keras.regularizers.L1(0.1),
            "dtype": "mixed_bfloat16",
            "name": "block",
        },
    ],
    ids=["defaults", "everything"],
)
def test_config_and_file_round_trip(options, tmp_path):
    layer = CombinerEncoder(num_heads=2, intermediate_dim=12, **options)
    config = json.loads(json.dumps(layer.get_config()))
    assert not set(options) - set(config)
    copy = CombinerEncoder.from_config(config)
    assert copy.get_config() == layer.get_config()
    x = keras.Input((None, FEATURES))
    model = keras.Model(x, layer(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    received, expected = (tf.cast(m(tokens()), "float32") for m in (loaded, model))
    np.testing.assert_array_equal(received, expected)
    if options:
        inner = loaded.layers[-1].attention
        assert inner.plan.block_size == 8
        assert inner.summary == "variational"
        assert inner.locality == 6.0
        assert (inner.num_key_value_heads, inner.rotary, inner.rotary_base) == (1, True, 50.0)
        assert loaded.layers[-1].attention_norm.epsilon == 1e-3
        for kernel in of_kind(loaded.layers[-1], "kernel").values():
            assert kernel.regularizer.get_config() == {"l2": 0.01}


def test_a_config_of_before_is_loaded():
    config = built().get_config()
    for name in (
        "num_key_value_heads",
        "rotary",
        "rotary_base",
        "rotary_scaling_factor",
        "use_bias",
        "use_gated_activation",
        "normalization",
        "use_attention_norm",
        "remat",
        "kernel_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "bias_regularizer",
        "locality",
    ):
        del config[name]
    assert CombinerEncoder.from_config(config).get_config() == built().get_config() | {
        "name": config["name"]
    }


def test_dtype_policy_reaches_every_sublayer():
    layer = built(dtype="mixed_float16")
    sublayers = [
        layer.attention,
        layer.attention_norm,
        layer.feedforward_intermediate,
        layer.feedforward_output,
        layer.feedforward_norm,
        layer.dropout_layer,
    ]
    assert {x.dtype_policy.name for x in sublayers} == {"mixed_float16"}
    assert layer(tokens()).dtype == "float16"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_heads": 3}, "must divide the 8 features.*num_heads=3"),
        ({"num_heads": 0}, "num_heads"),
        ({"num_heads": -2}, "num_heads"),
        ({"num_heads": 2.0}, "num_heads"),
        ({"intermediate_dim": 0}, "`intermediate_dim` must be an int of at least 1"),
        ({"intermediate_dim": 4.0}, "`intermediate_dim` must be an int of at least 1"),
        ({"block_size": 0}, "`block_size` must be an int of at least 1"),
        ({"factorization": "axial"}, "`factorization` must be one of"),
        ({"summary": "median"}, "`summary` must be one of"),
        ({"num_key_value_heads": 3}, "`num_key_value_heads` must be an int that divides"),
        ({"rotary": True, "key_dim": 3}, "`key_dim` must be even"),
        ({"activation": "nonsense"}, "nonsense"),
        ({"kernel_initializer": "nonsense"}, "nonsense"),
        ({"bias_regularizer": "nonsense"}, "nonsense"),
    ],
)
def test_wrong_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        built(**options)


@pytest.mark.parametrize("mask", [(BATCH, 20), (BATCH, LENGTH, LENGTH)])
def test_wrong_masks(mask):
    with pytest.raises(ValueError, match="`attention_mask` must have the shape"):
        built()(tokens(), mask=np.ones(mask, bool))


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
class EncoderChecks(TestCase):
    """Keras's own checks: build, calls, config, a compiled training step, mixed precision."""

    def check(self, **options):
        self.run_layer_test(
            CombinerEncoder,
            init_kwargs={"num_heads": 2, "intermediate_dim": 6, "block_size": 4, **options},
            input_shape=(2, 13, 8),
            expected_output_shape=(2, 13, 8),
            expected_num_trainable_weights=16,
            supports_masking=True,
        )

    def test_pre_norm(self):
        self.check()

    @pytest.mark.slow
    def test_post_norm(self):
        self.check(normalize_first=False, use_causal_mask=True, summary="variational", dropout=0.1)


@pytest.mark.parametrize("normalization", ["layer_norm", "layer_norm_no_offset", "rms_norm"])
def test_normalizations_and_gates_by_hand(normalization):
    layer = built(
        normalization=normalization,
        use_gated_activation=True,
        use_bias=False,
        activation="silu",
        layer_norm_epsilon=1e-3,
    )
    assert not of_kind(layer, "bias")
    x = tokens().astype("float64")

    def normalized(x, norm):
        scale, *offset = norm.get_weights()
        if normalization != "rms_norm":
            x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 1e-3) * scale
        assert len(offset) == (normalization == "layer_norm")
        return x + sum(offset)

    inner = normalized(x, layer.attention_norm).astype("float32")
    x = x + np.array(layer.attention(inner, inner))
    inner = normalized(x, layer.feedforward_norm)
    (gate,), (value,), (output,) = (
        getattr(layer, f"feedforward_{name}").get_weights()
        for name in ("gate", "intermediate", "output")
    )
    gated = inner @ gate
    expected = x + (gated / (1 + np.exp(-gated)) * (inner @ value)) @ output
    np.testing.assert_allclose(layer(tokens()), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("normalize_first", [False, True])
def test_attention_may_have_no_normalization(normalize_first):
    layer = built(use_attention_norm=False, normalize_first=normalize_first)
    assert layer.attention_norm is None
    assert not any("attention_norm" in x.path for x in layer.weights)
    x = tokens() + np.array(layer.attention(tokens(), tokens()))
    if normalize_first:
        expected = x + feed_forward(normalize(x, layer.feedforward_norm), layer)
    else:
        expected = normalize(x + feed_forward(x, layer), layer.feedforward_norm)
    np.testing.assert_allclose(layer(tokens()), expected, atol=1e-4)


def test_an_unknown_normalization_is_refused():
    with pytest.raises(ValueError, match=r"`normalization` must be one of 'layer_norm'.*'batch'"):
        CombinerEncoder(2, 12, normalization="batch")
