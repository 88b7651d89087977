"""CombinerAttention as a Keras layer: shapes, config, saving, masks, dropout, errors."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing.test_case import TestCase

from keras_combiner import factorizations
from keras_combiner.factorizations import Fixed, Mixture
from keras_combiner.factorizations.summaries import SUMMARIES
from keras_combiner.layers import CombinerAttention
from tests import reference

BATCH, LENGTH, FEATURES = 3, 21, 8


def tokens(seed=0, length=LENGTH, features=FEATURES, batch=BATCH):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(batch, length, features)).astype("float32")


def built(seed=0, **options):
    """A layer with random weights: biases of zero would hide mistakes."""
    options = {"num_heads": 2, "key_dim": 4, "block_size": 4, **options}
    layer = CombinerAttention(**options)
    layer.build((None, None, FEATURES), (None, None, FEATURES))
    generator = np.random.default_rng(seed)
    layer.set_weights([generator.normal(size=w.shape) * 0.5 for w in layer.weights])
    return layer


OPTIONS = {
    "plain": {},
    "mean": {"summary": "mean"},
    "variational": {"summary": "variational"},
    "no bias": {"use_bias": False},
    "value_dim": {"value_dim": 3},
    "gate": {"use_gate": True, "value_dim": 5},
    "output_shape": {"output_shape": (2, 3)},
    "plan object": {"factorization": Fixed(5)},
    "grouped": {"num_heads": 4, "num_key_value_heads": 2},
    "rotary": {"rotary": True},
    "rotary and grouped": {"rotary": True, "num_key_value_heads": 1, "rotary_base": 50.0},
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
mask_kinds = pytest.mark.parametrize(
    "kind",
    [
        # "all" has rows padded at the right, too.
        pytest.param(kind, marks=pytest.mark.slow) if kind in ("right", "left") else kind
        for kind in reference.PADDINGS
    ],
)
both_ways = pytest.mark.parametrize("causal", [False, True])


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


@both_ways
@mask_kinds
@every_option
def test_equals_the_reference_between_the_projections(options, kind, causal):
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


def embedded(mask, seed=0):
    """Vectors that carry `mask` as their implicit Keras mask."""
    ids = np.where(mask, 1 + np.arange(mask.shape[1]), 0)
    layer = keras.layers.Embedding(mask.shape[1] + 1, FEATURES, mask_zero=True)
    layer.build()
    layer.set_weights([tokens(seed, mask.shape[1] + 1, batch=1)[0]])
    return layer(ids)


def test_every_way_to_pass_a_mask_is_the_same():
    layer = built()
    mask = reference.padding_mask("all", BATCH, LENGTH)
    x = embedded(mask)
    bare = np.array(x)
    expected = layer(bare, bare, attention_mask=mask)
    np.testing.assert_allclose(layer(x, x), expected, atol=1e-6)
    for passed in (
        {"attention_mask": mask[:, np.newaxis]},
        {"attention_mask": mask.astype("int32")},
        {"attention_mask": mask.astype("float32")},
        {"query_mask": mask},
        {"value_mask": mask},
        {"key_mask": mask},
        {"query_mask": mask, "value_mask": mask, "key_mask": mask},
    ):
        outputs = layer(bare, bare, bare, **passed)
        np.testing.assert_allclose(outputs, expected, atol=1e-6, err_msg=str(passed.keys()))
    assert np.abs(np.array(layer(bare, bare)) - expected).max() > 1e-2


def test_masks_combine_by_and():
    layer = built()
    generator = np.random.default_rng(0)
    masks = [generator.random((BATCH, LENGTH)) < 0.8 for _ in range(4)]
    names = ("query_mask", "value_mask", "key_mask", "attention_mask")
    x = tokens()
    expected = layer(x, x, attention_mask=np.logical_and.reduce(masks))
    outputs = layer(x, x, x, **dict(zip(names, masks, strict=True)))
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    # Implicit and explicit together.
    implicit = embedded(masks[0])
    outputs = layer(implicit, implicit, attention_mask=masks[1])
    bare = np.array(implicit)
    expected = layer(bare, bare, attention_mask=masks[0] & masks[1])
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


@pytest.mark.parametrize("scores", [False, True])
def test_implicit_mask_is_passed_on(scores):
    mask = reference.padding_mask("right", BATCH, LENGTH)
    x = embedded(mask)
    outputs = built()(x, x, return_attention_scores=scores)
    outputs = outputs[0] if scores else outputs
    np.testing.assert_array_equal(outputs._keras_mask, mask)
    np.testing.assert_array_equal(x._keras_mask, mask)  # the input keeps its own
    plain = built()(tokens(), tokens())
    assert getattr(plain, "_keras_mask", None) is None


def test_implicit_mask_is_passed_on_in_a_functional_model():
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(30, FEATURES, mask_zero=True)(ids)
    y = CombinerAttention(2, 4, block_size=4)(x, x)
    assert y._keras_mask is not None
    model = keras.Model(ids, keras.layers.GlobalAveragePooling1D()(y))
    row = np.arange(1, 12)[np.newaxis]
    padded = np.pad(row, [(0, 0), (0, 9)])
    np.testing.assert_allclose(model(padded), model(row), atol=1e-6)


@both_ways
@every_option
def test_padding_does_not_matter(options, causal):
    layer = built(**options)
    x = tokens()
    expected = np.array(layer(x, x, use_causal_mask=causal))
    for fill in (0.0, 1e4):
        padded = np.pad(x, [(0, 0), (0, 10), (0, 0)], constant_values=fill)
        mask = np.arange(LENGTH + 10)[np.newaxis].repeat(BATCH, 0) < LENGTH
        outputs = layer(padded, padded, attention_mask=mask, use_causal_mask=causal)
        np.testing.assert_allclose(np.array(outputs)[:, :LENGTH], expected, atol=1e-5)
        assert np.isfinite(outputs).all()


@mask_kinds
@every_option
def test_the_future_does_not_leak(options, kind):
    layer = built(**options)
    mask = reference.padding_mask(kind, BATCH, LENGTH)
    x = tokens()
    before = np.array(layer(x, x, attention_mask=mask, use_causal_mask=True))
    for changed in (0, 7, 8, 20):
        moved = x.copy()
        moved[:, changed] += 3
        after = np.array(layer(moved, moved, attention_mask=mask, use_causal_mask=True))
        np.testing.assert_allclose(after[:, :changed], before[:, :changed], atol=1e-6)
        if mask is None or mask[:, changed].any():
            assert np.abs(after[:, changed:] - before[:, changed:]).max() > 1e-3


def test_all_padding_gives_the_bias_of_the_output():
    layer = built()
    outputs = layer(tokens(), tokens(), attention_mask=np.zeros((BATCH, LENGTH), bool))
    bias = layer.output_dense.bias.numpy()
    np.testing.assert_allclose(outputs, np.broadcast_to(bias, outputs.shape), atol=1e-6)


# Dropout


def test_dropout_is_off_at_inference_and_on_in_training():
    layer, without = built(dropout=0.5, seed=1), built()
    without.set_weights(layer.get_weights()[: len(without.weights)])
    expected = without(tokens(), tokens())
    for training in (False, None):
        outputs = layer(tokens(), tokens(), training=training)
        np.testing.assert_array_equal(outputs, expected)
    first, second = (np.array(layer(tokens(), tokens(), training=True)) for _ in range(2))
    assert np.abs(first - expected).max() > 1e-2
    assert np.abs(first - second).max() > 1e-2


def seeded(seed):
    layer = CombinerAttention(2, 4, block_size=4, dropout=0.5, seed=seed)
    layer.build((None, None, FEATURES), (None, None, FEATURES))
    generator = np.random.default_rng(0)
    for weight in layer.trainable_weights:
        weight.assign(generator.normal(size=weight.shape) * 0.5)
    return layer


def test_dropout_follows_its_seed():
    first, second, other = (seeded(seed) for seed in (7, 7, 8))
    results = [np.array(x(tokens(), tokens(), training=True)) for x in (first, second, other)]
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 1e-2


def test_dropout_keeps_the_expectation():
    layer = CombinerAttention(2, 4, block_size=4, dropout=0.3, seed=3, summary="mean")
    x = tokens(batch=1)
    copies = np.repeat(x, 4000, axis=0)
    expected = np.array(layer(x, x))
    outputs = np.array(layer(copies, copies, training=True))
    error = outputs.std(0) / np.sqrt(len(copies))
    assert (np.abs(outputs.mean(0) - expected[0]) < 5 * error + 1e-6).all()
    assert outputs.std(0).min() > 0


def test_dropout_reaches_direct_tokens_and_parts():
    # Values of one: each output is the sum of the weights that dropout left over.
    layer = CombinerAttention(
        1,
        1,
        block_size=4,
        summary="max",  # parts count as one token each
        dropout=0.5,
        seed=0,
        use_bias=False,
        kernel_initializer="ones",
    )
    x = np.ones((1, 40, 1), "float32")
    assert np.unique(np.array(layer(x, x)).round(5)).tolist() == [1]
    # 4 direct tokens and 9 parts of equal weight, each 0 or 2/13.
    counts = np.array(layer(x, x, training=True)).ravel() * 13 / 2
    np.testing.assert_allclose(counts, counts.round(), atol=1e-4)
    assert len(set(counts.round())) > 3


def test_scores_are_those_before_dropout():
    layer = seeded(1)
    _, expected = layer(tokens(), tokens(), return_attention_scores=True)
    _, scores = layer(tokens(), tokens(), return_attention_scores=True, training=True)
    np.testing.assert_array_equal(scores, expected)
    np.testing.assert_allclose(np.array(scores).sum(-1), 1, atol=1e-5)


# Config and saving

FULL_OPTIONS = {
    "num_heads": 2,
    "key_dim": 4,
    "value_dim": 3,
    "dropout": 0.1,
    "use_bias": True,
    "output_shape": (5,),
    "factorization": Fixed(8),
    "block_size": 16,
    "summary": "variational",
    "num_key_value_heads": 1,
    "rotary": True,
    "rotary_base": 500.0,
    "kernel_initializer": keras.initializers.RandomNormal(stddev=0.3, seed=1),
    "bias_initializer": "ones",
    "kernel_regularizer": keras.regularizers.L2(0.1),
    "bias_regularizer": keras.regularizers.L1(0.1),
    "activity_regularizer": keras.regularizers.L2(0.1),
    "kernel_constraint": keras.constraints.MaxNorm(2.0),
    "bias_constraint": keras.constraints.NonNeg(),
    "use_gate": True,
    "seed": 4,
    "name": "attend",
    "dtype": "mixed_bfloat16",
}


@pytest.mark.parametrize("when", ["before build", "after build"])
def test_config_round_trip(when):
    layer = CombinerAttention(**FULL_OPTIONS)
    if when == "after build":
        layer.build((None, None, FEATURES), (None, None, FEATURES))
    config = json.loads(json.dumps(layer.get_config()))
    assert not set(FULL_OPTIONS) - set(config), "an argument is missing"
    copy = CombinerAttention.from_config(config)
    assert copy.get_config() == layer.get_config()
    assert type(copy.plan) is Fixed
    assert copy.plan.block_size == 8
    assert copy.summary == "variational"
    assert copy.name == "attend"
    assert copy.dtype_policy.name == "mixed_bfloat16"


def test_block_size_of_a_named_plan_survives_its_config():
    layer = CombinerAttention.from_config(CombinerAttention(2, 4, block_size=9).get_config())
    assert layer.plan.get_config()["block_size"] == 9
    assert layer.get_config()["factorization"] == "fixed"


def test_regularizers_and_constraints_are_at_work():
    layer = CombinerAttention(
        2, 4, kernel_regularizer="l2", bias_regularizer="l1", kernel_constraint="non_neg"
    )
    layer.build((None, None, FEATURES), (None, None, FEATURES))
    assert len(layer.losses) == 8
    assert all(
        isinstance(w.constraint, keras.constraints.NonNeg)
        for w in layer.weights
        if "kernel" in w.path
    )


@pytest.mark.parametrize("options", [{}, FULL_OPTIONS], ids=["plain", "full"])
def test_saved_model_is_loaded_without_custom_objects(options, tmp_path):
    options = {"num_heads": 2, "key_dim": 4, "block_size": 4, **options}
    x = keras.Input((None, FEATURES))
    model = keras.Model(x, CombinerAttention(**options)(x, x, use_causal_mask=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        tf.cast(loaded(tokens()), "float32"), tf.cast(model(tokens()), "float32")
    )
    paths = [[w.path for w in m.weights] for m in (model, loaded)]
    assert paths[0] == paths[1]


# Shapes and dtypes


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
@every_option
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


@pytest.mark.parametrize("summary", SUMMARIES)
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


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("summary", SUMMARIES)
def test_mixed_precision_trains(summary, dtype):
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
        model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=jit_compile)
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


# Wrong inputs

X = (2, 6, 4)
WRONG_ARGUMENTS = {
    "num_heads 0": ({"num_heads": 0}, "`num_heads`.*positive integer"),
    "num_heads float": ({"num_heads": 2.0}, "`num_heads`.*positive integer"),
    "key_dim": ({"key_dim": -1}, "`key_dim`.*positive integer"),
    "value_dim": ({"value_dim": 0}, "value_dim.*positive integer"),
    "block_size 0": ({"block_size": 0}, "`block_size` must be an int of at least 1"),
    "block_size float": ({"block_size": 2.5}, "`block_size` must be an int of at least 1"),
    "plan": ({"factorization": "axial"}, "`factorization` must be one of 'fixed'.*'axial'"),
    "plan class": ({"factorization": Fixed}, "`factorization` must be one of 'fixed'"),
    "summary": ({"summary": "median"}, "`summary` must be one of 'max'.*'median'"),
    "attention_axes": ({"attention_axes": (1, 2)}, "takes no `attention_axes`.*axis 1"),
    "attention_axes 2": ({"attention_axes": 2}, "takes no `attention_axes`"),
    "shared heads 0": ({"num_key_value_heads": 0}, "int that divides `num_heads`.*heads=0"),
    "shared heads 3": ({"num_key_value_heads": 3}, "divides `num_heads`.*=3, num_heads=2"),
    "shared heads 4": ({"num_key_value_heads": 4}, "divides `num_heads`.*=4, num_heads=2"),
    "shared heads 1.0": ({"num_key_value_heads": 1.0}, "int that divides `num_heads`.*=1.0"),
    "odd rotary": ({"rotary": True, "key_dim": 5}, "`key_dim` must be even.*key_dim=5"),
    "rotary_base": ({"rotary": True, "rotary_base": 0}, "`rotary_base`.*above 0.*0"),
    "rotary_base str": ({"rotary": True, "rotary_base": "1e4"}, "`rotary_base`.*'1e4'"),
    "sliding_window": ({"sliding_window": 4}, "takes no `sliding_window`.*block_size"),
    "sliding_window 1": ({"sliding_window": 1}, "takes no `sliding_window`.*block_size"),
}


@pytest.mark.parametrize(("options", "words"), WRONG_ARGUMENTS.values(), ids=WRONG_ARGUMENTS)
def test_wrong_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        CombinerAttention(**{"num_heads": 2, "key_dim": 4, **options})


WRONG_INPUTS = {
    "cross-attention": (X, (2, 7, 4), {}, r"self-attention.*same length.*\(2, 7, 4\)"),
    "rank 4 query": ((2, 3, 6, 4), X, {}, r"\[batch, length, features\].*\(2, 3, 6, 4\)"),
    "rank 4": ((2, 3, 6, 4), (2, 3, 6, 4), {}, r"\[batch, length, features\]"),
    "rank 2": ((2, 6), (2, 6), {}, r"\[batch, length, features\]"),
    "full mask": (X, X, {"attention_mask": (2, 6, 6)}, r"quadratic cost.*use_causal_mask"),
    "mask rank 1": (X, X, {"attention_mask": (6,)}, r"\[batch, 6\] or \[batch, 1, 6\].*\(6,\)"),
    "mask rank 4": (X, X, {"attention_mask": (2, 1, 1, 6)}, r"\[batch, 1, 6\].*\(2, 1, 1, 6\)"),
    "mask length": (X, X, {"attention_mask": (2, 5)}, r"one entry a token.*\(2, 5\)"),
    "mask length 3": (X, X, {"attention_mask": (2, 1, 5)}, r"one entry a token.*\(2, 1, 5\)"),
    "query_mask": (X, X, {"query_mask": (2, 5)}, r"`query_mask`.*\[batch, 6\].*\(2, 5\)"),
    "value_mask": (X, X, {"value_mask": (2, 1, 6)}, r"`value_mask`.*\[batch, 6\]"),
    "key_mask": (X, X, {"key_mask": (6,)}, r"`key_mask`.*\[batch, 6\].*\(6,\)"),
}
wrong_inputs = pytest.mark.parametrize(
    ("query", "value", "masks", "words"), WRONG_INPUTS.values(), ids=WRONG_INPUTS
)


@wrong_inputs
def test_wrong_inputs(query, value, masks, words):
    masks = {name: np.ones(shape, bool) for name, shape in masks.items()}
    with pytest.raises(ValueError, match=f"(?s){words}"):
        CombinerAttention(2, 4)(np.ones(query), np.ones(value), **masks)


@pytest.mark.parametrize("name", ["attention_mask", "query_mask"])
def test_masks_of_another_batch_are_refused(name):
    x = np.ones((2, 6, 4))
    with pytest.raises(ValueError, match=r"one row a document: there are 2.*\(3, 6\)"):
        CombinerAttention(2, 4)(x, x, **{name: np.ones((3, 6), bool)})


@wrong_inputs
def test_wrong_inputs_are_refused_when_a_model_is_built(query, value, masks, words):
    masks = {
        name: keras.Input(batch_shape=(None, *shape[1:]), dtype="bool")
        for name, shape in masks.items()
    }
    if any(len(mask.shape) == 1 for mask in masks.values()):
        words = words.partition(".*")[0]  # the shape received reads (None,)
    query, value = (keras.Input(batch_shape=(None, *shape[1:])) for shape in (query, value))
    words = words.replace(r"\(2, ", r"\(None, ")
    with pytest.raises(ValueError, match=f"(?s){words}"):
        CombinerAttention(2, 4)(query, value, **masks)


def test_key_of_another_length():
    with pytest.raises(ValueError, match="same length"):
        CombinerAttention(2, 4)(np.ones(X), np.ones(X), np.ones((2, 5, 4)))


@pytest.mark.parametrize(
    "factorization",
    [*factorizations.names(), Mixture(["fixed", "logsparse"], block_size=4)],
    ids=lambda plan: plan if isinstance(plan, str) else "mixture",
)
def test_every_plan_is_saved_with_the_model(factorization, tmp_path):
    inputs = keras.Input((LENGTH, FEATURES))
    layer = CombinerAttention(2, 4, factorization=factorization, block_size=4)
    model = keras.Model(inputs, layer(inputs, inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(tokens()), model(tokens()), atol=1e-6)
    assert loaded.layers[-1].plan.support(9) == layer.plan.support(9)
