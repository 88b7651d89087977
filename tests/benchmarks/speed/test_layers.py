"""Every layer that is compared runs, forward and backward."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.speed import layers
from benchmarks.speed.layers import BOTH, FLOOR, FORWARD, FULL

SETTINGS = {"width": 16, "num_heads": 2, "batch_size": 1, "threads": 2}


def test_block_sizes_are_near_the_square_root():
    lengths = (128, 512, 4096, 8192, 16384, 65536)
    assert [layers.block_size(x) for x in lengths] == [64, 64, 64, 128, 128, 256]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_every_layer_of_ours_and_keras_runs(mode):
    for name in (FLOOR, FULL, layers.WINDOW, *layers.PLANS, *layers.REFINED):
        programs = layers.programs(name, mode, 24, SETTINGS)
        assert tuple(programs) == (FORWARD, BOTH)
        outputs, gradients = programs[FORWARD](), programs[BOTH]()
        assert name == FLOOR or outputs.shape == (1, 24, 16)
        assert all(x is None or np.isfinite(x).all() for x in gradients)


@pytest.mark.parametrize("mode", ["litert", "litert_int8"])
def test_layers_run_in_litert(mode):
    programs = layers.programs("fixed", mode, 24, SETTINGS)
    assert list(programs) == [FORWARD]
    programs[FORWARD]()


def test_one_block_is_for_short_inputs():
    with pytest.raises(ValueError, match="for lengths up to 512"):
        layers.keras_layer(layers.DIRECT, 1024, SETTINGS)


@pytest.mark.parametrize(
    ("package", "mode", "name"),
    [
        ("official", "graph", layers.BIGBIRD),
        ("official", "graph", layers.PERFORMER),
        ("transformers", "torch", layers.LONGFORMER),
        ("transformers", "torch", layers.TORCH_BIGBIRD),
    ],
)
def test_a_missing_peer_names_its_extra(monkeypatch, package, mode, name):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install keras_combiner\[peers\]"):
        layers.programs(name, mode, 1024, SETTINGS)


def test_the_floor_is_four_products_forward_and_eight_backward():
    layer, call = layers.keras_layer(FLOOR, 24, SETTINGS)
    x = tf.random.normal((1, 24, 16))

    def products(function):
        operations = function.get_concrete_function(x).graph.get_operations()
        return sum("MatMul" in op.type or "Einsum" in op.type for op in operations)

    @tf.function
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = call(x)
        upstream = [tf.random.normal(y.shape, seed=n) for n, y in enumerate(outputs)]
        return tape.gradient(outputs, [x, *layer.trainable_weights], upstream)

    assert products(tf.function(call)) == 4
    assert products(both) == 12
