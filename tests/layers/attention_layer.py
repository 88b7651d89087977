"""A small CombinerAttention with random weights, the tokens it takes and the options it has."""

import numpy as np

from keras_combiner.factorizations import Fixed
from keras_combiner.layers import CombinerAttention

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
    "gaussian": {"summary": "gaussian"},
    "no bias": {"use_bias": False},
    "value_dim": {"value_dim": 3},
    "gate": {"use_gate": True, "value_dim": 5},
    "output_shape": {"output_shape": (2, 3)},
    "plan object": {"factorization": Fixed(5)},
    "grouped": {"num_heads": 4, "num_key_value_heads": 2},
    "rotary": {"rotary": True},
    "rotary and grouped": {"rotary": True, "num_key_value_heads": 1, "rotary_base": 50.0},
}
