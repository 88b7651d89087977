"""CombinerAttention as a Keras layer: the reference, padding, the future, shapes, training."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing.test_case import TestCase

from keras_combiner.factorizations import Fixed
from keras_combiner.factorizations.summaries import SUMMARIES
from keras_combiner.layers import CombinerAttention
from tests import reference
from tests.every_pair import every_pair
from tests.layers.attention_layer import BATCH, FEATURES, LENGTH, OPTIONS, built, tokens

every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def project(x, layer, name):
    """[B, T, F] -> [B, H, T, D] in float64, with the weights found by name."""
    weights = {w.path.split("/", 1)[1]: w.numpy().astype("float64") for w in layer.weights}
    result = np.einsum("btf,fhd->bhtd", x, weights[f"{name}/kernel"])
    bias = weights.get(f"{name}/bias")
    result = result if bias is None else result + bias[:, np.newaxis]
    return np.repeat(result, layer.num_heads // result.shape[1], axis=1)


def rotate(x, mask, base):
    """[B, H, T, D] with pairs of features as complex numbers, turned by their angles."""
    half = x.shape[3] // 2
    result = np.zeros(x.shape)
    for row in range(len(x)):
        first = 0 if mask is None else int(np.argmax(mask[row]))
        for t in range(x.shape[2]):
            for i in range(half):
                angle = (t - first) * base ** (-2 * i / x.shape[3])
                turned = (x[row, :, t, i] + 1j * x[row, :, t, half + i]) * np.exp(1j * angle)
                result[row, :, t, i], result[row, :, t, half + i] = turned.real, turned.imag
    return result


# "all" has rows padded at the right, too: rows that are all so padded, or left, are slow.
@every_pair(options=OPTIONS, kind=["none", "scattered", "all"], causal=[False, True], quick=1)
def test_equals_the_reference_between_the_projections(options, kind, causal):
    assert_equals_the_reference(options, kind, causal)


@pytest.mark.slow
@every_pair(options=OPTIONS, kind=["right", "left"], causal=[False, True])
def test_equals_the_reference_where_all_rows_are_padded_alike(options, kind, causal):
    assert_equals_the_reference(options, kind, causal)


def assert_equals_the_reference(options, kind, causal):
    layer = built(**options)
    query, key, value = tokens(1), tokens(2), tokens(3)
    mask = reference.padding_mask(kind, BATCH, LENGTH)
    outputs, scores = layer(
        query,
        value,
        key,
        attention_mask=mask,
        use_causal_mask=causal,
        return_attention_scores=True,
    )
    query_heads, key_heads = project(query, layer, "query"), project(key, layer, "key")
    if layer.rotary:
        query_heads, key_heads = (
            rotate(x, mask, layer.rotary_base) for x in (query_heads, key_heads)
        )
    heads, expected_scores = reference.attend(
        layer.plan,
        query_heads,
        key_heads,
        project(value, layer, "value"),
        mask,
        causal,
        options.get("summary", "variational"),
    )
    if options.get("use_gate"):
        heads = heads / (1 + np.exp(-project(query, layer, "gate")))
    weights = {w.path.split("/", 1)[1]: w.numpy() for w in layer.weights}
    expected = np.tensordot(heads.transpose(0, 2, 1, 3), weights["attention_output/kernel"], 2)
    expected = expected + weights.get("attention_output/bias", 0.0)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)
    np.testing.assert_allclose(outputs, expected, atol=1e-5 * max(1, np.abs(expected).max()))


@every_pair(options=OPTIONS, causal=[False, True], quick=1)
def test_padding_does_not_matter(options, causal):
    layer = built(**options)
    x = tokens()
    expected = np.array(layer(x, x, use_causal_mask=causal))
    # Both kinds of padding in one batch.
    padded = np.concatenate(
        [np.pad(x, [(0, 0), (0, 10), (0, 0)], constant_values=fill) for fill in (0.0, 1e4)]
    )
    mask = np.arange(LENGTH + 10)[np.newaxis].repeat(2 * BATCH, 0) < LENGTH
    outputs = layer(padded, padded, attention_mask=mask, use_causal_mask=causal)
    assert np.isfinite(outputs).all()
    for received in np.split(np.array(outputs)[:, :LENGTH], 2):
        np.testing.assert_allclose(received, expected, atol=1e-5)


# "all" has rows of every kind; the others are quick for two options.
@pytest.mark.parametrize(
    ("options", "kind"),
    [
        pytest.param(
            options,
            kind,
            id=f"{name}-{kind}",
            marks=()
            if kind == "all"
            or (kind in ("none", "scattered") and name in ("plain", "rotary and grouped"))
            else pytest.mark.slow,
        )
        for name, options in OPTIONS.items()
        for kind in reference.PADDINGS
    ],
)
def test_the_future_does_not_leak(options, kind):
    layer = built(**options)
    mask = reference.padding_mask(kind, BATCH, LENGTH)
    places = (0, 7, 8, 20)
    x = np.stack([tokens()] * (1 + len(places)))
    for i, changed in enumerate(places, 1):
        x[i, :, changed] += 3
    # All in one batch, with the same mask for each.
    x = x.reshape(-1, LENGTH, FEATURES)
    masks = None if mask is None else np.tile(mask, (1 + len(places), 1))
    outputs = np.array(layer(x, x, attention_mask=masks, use_causal_mask=True))
    before, *moved = np.split(outputs, 1 + len(places))
    for changed, after in zip(places, moved, strict=True):
        np.testing.assert_allclose(after[:, :changed], before[:, :changed], atol=1e-6)
        if mask is None or mask[:, changed].any():
            assert np.abs(after[:, changed:] - before[:, changed:]).max() > 1e-3


def test_all_padding_gives_the_bias_of_the_output():
    layer = built()
    outputs = layer(tokens(), tokens(), attention_mask=np.zeros((BATCH, LENGTH), bool))
    bias = layer.output_dense.bias.numpy()
    np.testing.assert_allclose(outputs, np.broadcast_to(bias, outputs.shape), atol=1e-6)


# Shapes, dtypes and training


@every_pair(
    options=OPTIONS,
    dtype=["float32", "mixed_bfloat16", "mixed_float16"],
    slow=["mixed_float16"],
    quick=1,
)
def test_declared_shapes_and_dtypes_are_the_actual_ones(options, dtype):
    layer = CombinerAttention(
        **{"num_heads": 2, "key_dim": 4, "block_size": 4, **options}, dtype=dtype
    )
    x = tokens()
    spec = keras.KerasTensor(x.shape, dtype="float32")
    outputs = layer(x, x, return_attention_scores=True)
    specs = layer.compute_output_spec(spec, spec, return_attention_scores=True)
    for received, expected in zip(outputs, specs, strict=True):
        assert tuple(received.shape) == tuple(expected.shape)
        assert keras.backend.standardize_dtype(received.dtype) == expected.dtype
    alone = layer.compute_output_spec(spec, spec)
    assert (alone.shape, alone.dtype) == (specs[0].shape, specs[0].dtype)
    assert layer.compute_output_shape(x.shape, x.shape) == tuple(outputs[0].shape)
    dynamic = layer.compute_output_shape((None, None, FEATURES), (None, None, FEATURES))
    assert dynamic == (None, None, *outputs[0].shape[2:])


# The mean and the largest key are summaries without a weight of their own.
SIMPLE = ("max", "mean")


@pytest.mark.parametrize(
    "summary", [pytest.param(x, marks=pytest.mark.slow) if x in SIMPLE else x for x in SUMMARIES]
)
def test_dynamic_length_equals_static(summary):
    layer = built(summary=summary)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, FEATURES]),
            tf.TensorSpec([None, None], tf.bool),
        ]
    )
    def dynamic(x, mask):
        return layer(x, x, attention_mask=mask, use_causal_mask=True)

    for length in (1, 3, 4, 21):
        x, mask = tokens(length=length), reference.padding_mask("all", BATCH, length)
        expected = layer(x, x, attention_mask=mask, use_causal_mask=True)
        np.testing.assert_allclose(dynamic(x, mask), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("summary", "dtype"),
    [
        pytest.param(
            summary,
            dtype,
            marks=() if index % 2 == quick and summary not in SIMPLE else pytest.mark.slow,
        )
        for index, summary in enumerate(SUMMARIES)
        for quick, dtype in enumerate(["mixed_float16", "mixed_bfloat16"])
    ],
)
def test_mixed_precision_trains(eager, summary, dtype):
    x = keras.Input((LENGTH, FEATURES))
    mask = keras.Input((LENGTH,), dtype="bool")
    y = CombinerAttention(2, 4, block_size=4, summary=summary, dtype=dtype, dropout=0.1)(
        x, x, attention_mask=mask, use_causal_mask=True
    )
    model = keras.Model([x, mask], keras.layers.Dense(1, dtype="float32")(y))
    model.compile("sgd", "mse")
    before = [w.copy() for w in model.get_weights()]
    counts = reference.padding_mask("all", BATCH, LENGTH)
    history = model.fit([tokens(), counts], tokens(1)[..., :1], epochs=3, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert any(np.abs(a - b).max() > 0 for a, b in zip(before, model.get_weights(), strict=True))
    assert all(w.dtype == "float32" for w in model.trainable_weights)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("summary", "causal"), [("max", False), ("mean", False), ("variational", True)]
)
def test_xla_computes_the_same(summary, causal):
    models = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        x = keras.Input((LENGTH, FEATURES))
        mask = keras.Input((LENGTH,), dtype="bool")
        layer = CombinerAttention(2, 4, block_size=4, summary=summary, use_gate=True)
        model = keras.Model([x, mask], layer(x, x, attention_mask=mask, use_causal_mask=causal))
        model.compile(
            keras.optimizers.SGD(0.5), "mse", jit_compile=jit_compile, run_eagerly=not jit_compile
        )
        models.append(model)
    inputs = [tokens(), reference.padding_mask("right", BATCH, LENGTH)]
    before = models[0].get_weights()
    outputs = [model.predict(inputs, verbose=0) for model in models]
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-5)
    for model in models:
        model.fit(inputs, tokens(1), batch_size=BATCH, verbose=0)
    plain, compiled = (model.get_weights() for model in models)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(before, plain, strict=True))
    for name, a, b in zip([w.path for w in models[0].weights], plain, compiled, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5, err_msg=name)


class LayerChecks(TestCase):
    """Keras's own checks: build, eager and symbolic call, config, mixed precision."""

    def check(self, **init_kwargs):
        self.run_layer_test(
            CombinerAttention,
            init_kwargs={"num_heads": 2, "key_dim": 4, "block_size": 4, **init_kwargs},
            input_shape={"query_shape": (2, 13, 8), "value_shape": (2, 13, 8)},
            expected_output_shape=(2, 13, *init_kwargs.get("output_shape", (8,))),
            expected_num_seed_generators=int("dropout" in init_kwargs),
            supports_masking=True,
            run_training_check=False,
        )

    def test_plain(self):
        self.check()

    def test_every_option(self):
        self.check(
            value_dim=3,
            dropout=0.1,
            use_bias=False,
            output_shape=(3, 2),
            factorization=Fixed(3),
            summary="variational",
            use_gate=True,
            kernel_regularizer="l2",
        )
