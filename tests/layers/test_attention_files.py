"""CombinerAttention comes back from its config and from the files of models that have it."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner import factorizations
from keras_combiner.factorizations import Fixed, Mixture
from keras_combiner.layers import CombinerAttention
from tests.layers.attention_layer import FEATURES, LENGTH, tokens

FULL_OPTIONS = {
    "num_heads": 2,
    "key_dim": 4,
    "value_dim": 3,
    "dropout": 0.1,
    "use_bias": True,
    "output_shape": (5,),
    "factorization": Fixed(8, first_blocks=1),
    "block_size": 16,
    "summary": "variational",
    "locality": 6.0,
    "num_key_value_heads": 1,
    "rotary": True,
    "rotary_base": 500.0,
    "rotary_scaling_factor": 4.0,
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
    assert copy.plan.first_blocks == 1
    assert copy.locality == 6.0
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
