"""Low-rank adaptation of the projections, and rematerialization of activations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.layers import CombinerAttention, CombinerEncoder

LENGTH, FEATURES = 13, 16
PROJECTIONS = ("query", "key", "value", "output")


def tokens(seed=0):
    return np.random.default_rng(seed).normal(size=(4, LENGTH, FEATURES)).astype("float32")


# What is saved is the sum of the kernel and what LoRA adds, the optimizer's state cannot be used.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
@pytest.mark.parametrize("options", [{}, {"num_key_value_heads": 2, "rotary": True}])
def test_lora_trains_only_its_own_weights(options, tmp_path):
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
