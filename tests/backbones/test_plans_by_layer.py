"""Backbones whose blocks have plans of their own."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.factorizations import AxialVertical, Fixed, Logsparse, Mixture, Routing, Window
from keras_combiner.layers import CombinerEncoder
from tests.backbones.test_combiner_backbone import IDS, backbone

# Two that keep what they choose or read first in themselves, and one without parts.
PLANS = [Window(3), "fixed", Fixed(4, part_size=2, opened=1, first_blocks=1)]


@pytest.mark.parametrize("causal", [False, True])
def test_a_list_of_equal_plans_is_the_plan(causal):
    plan = Fixed(4, part_size=2, opened=1)
    expected = backbone(factorization=plan, use_causal_mask=causal)(IDS)
    for plans in ([plan, plan], (plan, Fixed(4, part_size=2, opened=1))):
        outputs = backbone(factorization=plans, use_causal_mask=causal)(IDS)
        np.testing.assert_array_equal(outputs, expected)
    outputs = backbone(factorization=["fixed", "fixed"])(IDS)
    np.testing.assert_array_equal(outputs, backbone(factorization="fixed")(IDS))


def test_every_block_is_that_of_its_plan():
    model = backbone(factorization=PLANS, num_layers=3)
    ids = np.pad(IDS, [(0, 0), (0, 2)])
    x = model.embedding(ids)
    for i, plan in enumerate(PLANS):
        block = CombinerEncoder(2, 12, factorization=plan, block_size=4)
        block(x)
        block.set_weights(model.get_layer(f"encoder_{i}").get_weights())
        x = block(x, mask=ids != 0)
    np.testing.assert_allclose(model(ids), model.get_layer("norm")(x), atol=1e-6)


@pytest.mark.parametrize("plans", [[Window(4), "fixed"], ["fixed", Window(4)]])
def test_only_a_window_is_blind_to_what_is_far(plans):
    model = backbone(factorization=plans)
    after_first = keras.Model(model.input, model.get_layer("encoder_0").output)
    other = IDS.copy()
    other[:, 20] = other[:, 20] % 29 + 1

    def change(model):
        return np.abs(np.array(model(other)) - np.array(model(IDS)))[:, 0].max()

    assert (change(after_first) == 0) == (plans[0] != "fixed")
    assert change(model) > 1e-5


@pytest.mark.parametrize("summary", ["variational", "deepset"])
def test_config_and_file_round_trip(summary, tmp_path):
    plans = [*PLANS, Mixture(["window", Fixed(2)], block_size=4)]
    model = backbone(factorization=tuple(plans), num_layers=4, summary=summary)
    config = json.loads(json.dumps(model.get_config()))
    assert config["factorization"][1] == "fixed"
    copy = type(model).from_config(config)
    assert copy.get_config() == model.get_config()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded(IDS), model(IDS))
    kinds = [type(loaded.get_layer(f"encoder_{i}").attention.plan) for i in range(4)]
    assert kinds == [Window, Fixed, Fixed, Mixture]


def test_plans_without_parts_have_no_weights_of_summaries():
    model = backbone(factorization=[Window(3), "fixed"], summary="deepset")
    names = [set(model.get_layer(f"encoder_{i}").attention.plan_weights) for i in range(2)]
    assert names == [set(), {"deepset_query_kernel", "deepset_key_kernel"}]


def test_the_list_is_read_once():
    plans = [Window(3), "fixed"]
    model = backbone(factorization=plans)
    plans.append("routing")
    assert len(model.get_config()["factorization"]) == 2


@pytest.mark.parametrize(
    ("plans", "words"),
    [
        (["fixed"], r"one plan for each layer, 2 in all. Received: 1, \['fixed'\]. Give as many"),
        (["fixed"] * 3, r"2 in all. Received: 3, .* a single plan for all layers"),
        ([], r"2 in all. Received: 0, \[\]"),
        (["fixed", "fxied"], "`factorization` must be one of .* Received: 'fxied'"),
        (["fixed", ["fixed"]], r"`factorization` must be one of .* Received: \['fixed'\]"),
    ],
)
def test_what_it_refuses(plans, words):
    with pytest.raises(ValueError, match=words):
        backbone(factorization=plans)


def test_a_block_has_one_plan():
    with pytest.raises(ValueError, match=r"`factorization` must be one of .*\['fixed', 'fixed'\]"):
        CombinerEncoder(2, 12, factorization=["fixed", "fixed"])


@pytest.mark.slow
def test_all_lengths_need_plans_for_all_lengths():
    def call(model, length):
        signature = [tf.TensorSpec([None, length], "int32")]
        return tf.function(model, input_signature=signature, autograph=False)

    free = backbone(factorization=[Window(3), "fixed"])
    ids = IDS.astype("int32")
    np.testing.assert_allclose(call(free, None)(ids), free(IDS), atol=1e-5)
    plans = ["fixed", Logsparse()]
    with pytest.raises(ValueError, match=r"Logsparse fixes its pattern at a static length"):
        call(backbone(factorization=plans), None)(ids)
    static = backbone(factorization=plans, static_length=True)
    padded = np.pad(ids, [(0, 0), (0, 19)])
    expected = backbone(factorization=plans)(IDS)
    np.testing.assert_allclose(call(static, 40)(padded)[:, :21], expected, atol=1e-5)


def test_decoding_needs_plans_that_decode():
    model = backbone(factorization=["fixed", AxialVertical(4)], use_causal_mask=True)
    with pytest.raises(NotImplementedError, match="AxialVertical does not decode"):
        model.initial_cache(1)


def test_remat_needs_plans_that_learn_by_gradients():
    plans = ["fixed", Routing(4, num_clusters=2)]
    with pytest.raises(ValueError, match="`remat` runs a block twice"):
        backbone(factorization=plans, remat=True)
    model = backbone(factorization=plans)
    before = np.array(model.get_layer("encoder_1").attention.plan_weights["centroids"])
    model(IDS, training=True)
    after = np.array(model.get_layer("encoder_1").attention.plan_weights["centroids"])
    assert np.abs(after - before).max() > 0
