"""The layer owns what its plan learns: trains it, moves it, saves it."""

import keras
import numpy as np
import pytest

from keras_combiner.factorizations import AxialRowmajor, Mixture, Routing
from keras_combiner.layers import CombinerAttention

PLANS = {
    "routing": Routing(4, num_clusters=3),
    "proj": AxialRowmajor(4, row_summary="proj"),
    "mixture": Mixture([Routing(4, num_clusters=3), AxialRowmajor(4, row_summary="proj")]),
}
every_plan = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)


def tokens(seed, length=13):
    return np.random.default_rng(seed).normal(size=(3, length, 8)).astype("float32")


def model_with(plan, **options):
    keras.utils.set_random_seed(0)
    x = keras.Input((13, 8))
    layer = CombinerAttention(2, 4, factorization=plan, summary="deepset", **options)
    return keras.Model(x, layer(x, x)), layer


@every_plan
def test_training_moves_every_weight_but_calling_none(eager, plan):
    model, layer = model_with(plan)
    before = {name: np.array(weight) for name, weight in layer.plan_weights.items()}
    model.predict(tokens(1), verbose=0)
    for name, weight in layer.plan_weights.items():
        np.testing.assert_array_equal(weight, before[name])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(tokens(1), tokens(2), epochs=2, verbose=0)
    still = "deepset" if plan is PLANS["proj"] else "nothing"  # nothing is pooled there
    for name, weight in layer.plan_weights.items():
        moved = np.abs(np.array(weight) - before[name]).max() > 0
        assert moved != name.startswith(still), name


@pytest.mark.parametrize("frozen", ["layer", "model", "model of the model"])
@pytest.mark.parametrize("plan", [PLANS["routing"], PLANS["mixture"]], ids=["routing", "mixture"])
def test_nothing_of_a_frozen_layer_moves(plan, frozen):
    model, layer = model_with(plan)
    outer = keras.Sequential([model])
    frozen = {"layer": layer, "model": model, "model of the model": outer}[frozen]
    frozen.trainable = False
    before = [np.array(x) for x in outer.weights]
    outer(tokens(1), training=True)
    for weight, value in zip(outer.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value, err_msg=weight.path)
    frozen.trainable = True
    outer(tokens(1), training=True)
    moved = [x for x, y in zip(outer.weights, before, strict=True) if np.any(np.array(x) != y)]
    assert moved and not any(x.trainable for x in moved)


@every_plan
def test_saved_and_loaded(eager, plan, tmp_path):
    model, _ = model_with(plan)
    model.compile("sgd", "mse")
    model.fit(tokens(1), tokens(2), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(tokens(3)), model(tokens(3)), atol=1e-6)


def test_centroids_are_not_trained_by_gradients_and_stay_float32():
    _, layer = model_with(PLANS["routing"], dtype="mixed_float16")
    centroids = layer.plan_weights["centroids"]
    assert not centroids.trainable
    layer(tokens(1), tokens(1), training=True)
    assert centroids.dtype == "float32"
    assert any(w is centroids for w in layer.non_trainable_weights)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@every_plan
def test_mixed_precision(plan, dtype):
    _, full = model_with(plan)
    _, short = model_with(plan, dtype=dtype)
    for theirs, ours in zip(full.weights, short.weights, strict=True):
        ours.assign(theirs)
    outputs = keras.ops.cast(short(tokens(1), tokens(1)), "float32")
    np.testing.assert_allclose(outputs, full(tokens(1), tokens(1)), atol=0.1)


def test_grouped_by_keys_a_layer_keeps_only_its_group_size_in_the_config():
    layer = CombinerAttention(2, 4, factorization="routing", block_size=4)
    assert layer.plan.group_size == 4
    copy = CombinerAttention.from_config(layer.get_config())
    assert copy.plan.get_config() == layer.plan.get_config()
