"""Low-rank adaptation of the projections, and rematerialization of activations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner import LongDocumentClassifier
from keras_combiner.layers import CombinerAttention, CombinerEncoder
from keras_combiner.layers.rematerialization import rematerialized, seed_generator_of
from tests.eagerly import eagerly

LENGTH, FEATURES = 13, 16
PROJECTIONS = ("query", "key", "value", "output")


def tokens(seed=0):
    return np.random.default_rng(seed).normal(size=(4, LENGTH, FEATURES)).astype("float32")


# What is saved is the sum of the kernel and what LoRA adds, the optimizer's state cannot be used.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
@pytest.mark.parametrize(
    "options",
    [{"num_key_value_heads": 2, "rotary": True}, pytest.param({}, marks=pytest.mark.slow)],
)
def test_lora_trains_only_its_own_weights(eager, options, tmp_path):
    x = keras.Input((LENGTH, FEATURES))
    layer = CombinerAttention(4, 8, block_size=4, use_bias=False, **options)
    model = keras.Model(x, layer(x, x))
    before = np.array(model(tokens()))
    for name in PROJECTIONS:
        getattr(layer, f"{name}_dense").enable_lora(2)
    np.testing.assert_allclose(model(tokens()), before, atol=1e-6)  # it starts as nothing
    assert len(layer.trainable_weights) == 2 * len(PROJECTIONS)
    assert all("lora" in w.path for w in layer.trainable_weights)

    start = {w.path: w.numpy() for w in model.weights}
    model.compile(keras.optimizers.Adam(0.01), "mse")
    losses = model.fit(tokens(), tokens(1), epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for weight in model.weights:
        change = np.abs(weight.numpy() - start[weight.path]).max()
        assert change > 1e-3 if "lora" in weight.path else change == 0, weight.path

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(tokens()), model(tokens()), atol=1e-5)


def attention(x):
    return CombinerAttention(4, 8, block_size=4, summary="variational")(x, x)


def encoder(x):
    return CombinerEncoder(4, 32, block_size=4, use_causal_mask=True)(x)


@pytest.mark.parametrize("build", [attention, encoder])
def test_rematerialization_gives_the_same_gradients(build, monkeypatch):
    calls = []
    attend = CombinerAttention._project

    def counted(self, *arguments):
        calls.append(self)
        return attend(self, *arguments)

    monkeypatch.setattr(CombinerAttention, "_project", counted)
    results, counts = [], []
    for mode in (None, "full"):
        keras.utils.set_random_seed(0)
        x = keras.Input((LENGTH, FEATURES))
        with keras.RematScope(mode=mode):
            model = keras.Model(x, build(x))
        calls.clear()
        # Eager: in a graph, TensorFlow's recomputation takes no keywords, such as `training`.
        with tf.GradientTape() as tape:
            outputs = model(tokens(), training=True)
            loss = tf.reduce_mean(outputs * tokens(1))
        per_weight = tape.gradient(loss, [w.value for w in model.trainable_weights])
        results.append([outputs, *per_weight])
        counts.append(len(calls))
    assert counts[0] == 1 < counts[1]  # the backward pass computes it again
    for plain, again in zip(*results, strict=True):
        np.testing.assert_allclose(again, plain, atol=1e-6)
    assert max(np.abs(x).max() for x in results[0][1:]) > 1e-3


def gradients(build, x, mask, jit_compile=False):
    """Outputs and gradients of a layer in training, of its input first."""

    @tf.function(jit_compile=jit_compile)
    def compute(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, mask=mask, training=True)
            loss = tf.reduce_sum(outputs * tokens(1) * mask[..., None].astype("float32"))
        return [outputs, *tape.gradient(loss, [x, *(w.value for w in layer.trainable_weights)])]

    keras.utils.set_random_seed(0)
    layer = build()
    layer.build(x.shape)
    return [np.array(x) for x in compute(x)], [np.array(x) for x in compute(x)]


@pytest.mark.parametrize(
    ("summary", "jit_compile"),
    [
        ("max", False),
        pytest.param("deepset", False, marks=pytest.mark.slow),
        pytest.param("max", True, marks=pytest.mark.slow),
    ],
)
def test_a_block_is_computed_again_with_the_same_random_numbers(summary, jit_compile, monkeypatch):
    mask = np.arange(LENGTH) < np.array([[LENGTH], [5], [1], [0]])

    def build():
        options = {"dropout": 0.3, "summary": summary, "remat": True}
        return CombinerEncoder(4, 32, block_size=4, **options)

    again = gradients(build, tf.constant(tokens()), mask, jit_compile)
    monkeypatch.setattr(keras, "remat", lambda function: function)  # draws the same, keeps all
    kept = gradients(build, tf.constant(tokens()), mask, jit_compile)
    for step in range(2):
        for one, other in zip(again[step], kept[step], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
    assert np.abs(again[0][0] - again[1][0]).max() > 0.1, "two steps drop the same elements"


def test_a_block_that_is_not_dropped_from_is_the_same_with_and_without():
    mask = np.ones((4, LENGTH), bool)
    one, other = (
        gradients(
            lambda remat=remat: CombinerEncoder(4, 32, remat=remat), tf.constant(tokens()), mask
        )
        for remat in (False, True)
    )
    for plain, again in zip(one[0], other[0], strict=True):
        np.testing.assert_allclose(again, plain, atol=1e-6)


def test_sublayers_do_not_drop_the_same_elements():
    following = []
    generator = keras.random.SeedGenerator(0)
    for _ in range(3):
        seeds = []

        def draw(x, seeds=seeds):
            layer = type("Layer", (), {"seed_generator": None})
            seeds += [keras.ops.convert_to_numpy(seed_generator_of(layer).next()) for _ in range(4)]
            return x

        rematerialized(draw, tf.zeros(1), generator)
        following += [tuple(x) for x in seeds]
    assert len(set(following)) == 12


def test_inference_keeps_nothing_and_draws_nothing():
    x = tokens()
    keras.utils.set_random_seed(0)
    plain = CombinerEncoder(4, 32, dropout=0.3)(x)
    keras.utils.set_random_seed(0)
    np.testing.assert_array_equal(CombinerEncoder(4, 32, dropout=0.3, remat=True)(x), plain)


def test_what_learns_from_the_tokens_it_sees_is_refused():
    with pytest.raises(ValueError, match=r"runs a block twice.*'routing'"):
        CombinerEncoder(4, 32, factorization="routing", remat=True).build((2, LENGTH, FEATURES))


@pytest.mark.slow  # the gradients of such blocks are compared on every change
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_classifier_trains_is_saved_and_exported_by_itself(dtype, tmp_path):
    texts, labels = ["a b c d"] * 8 + ["e f g h"] * 8, ["x"] * 8 + ["y"] * 8
    keras.utils.set_random_seed(0)
    classifier = LongDocumentClassifier.from_texts(
        texts,
        labels,
        sequence_length=32,
        tokenizer="bytes",
        num_layers=1,
        hidden_dim=32,
        num_heads=2,
        remat=True,
        dtype=dtype,
    )
    history = classifier.fit(texts, labels, epochs=8, batch_size=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    classifier.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    assert loaded.backbone.arguments["remat"]
    with eagerly():
        received, expected = (x.predict(texts[:1], verbose=0) for x in (loaded, classifier))
    np.testing.assert_allclose(received, expected, atol=1e-6)
