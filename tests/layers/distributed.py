"""Training of one attention layer on one device and on four of JAX: see `tests.on_backend`."""

import keras
import numpy as np

from keras_combiner.layers import CombinerAttention

X, Y = np.random.default_rng(0).normal(size=(2, 8, 13, 16)).astype("float32")


def heads_over_devices(devices):
    mesh = keras.distribution.DeviceMesh((1, 4), ["batch", "model"], devices)
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*(query|key|value|gate)/kernel"] = (None, "model", None)
    layout[".*(query|key|value|gate)/bias"] = ("model", None)
    layout[".*attention_output/kernel"] = ("model", None, None)
    return keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")


def train(distribution):
    keras.distribution.set_distribution(distribution)
    keras.utils.set_random_seed(0)
    x = keras.Input((13, 16))
    layer = CombinerAttention(4, 8, block_size=4, use_gate=True, summary="variational", rotary=True)
    model = keras.Model(x, layer(x, x))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    history = model.fit(X, Y, batch_size=4, epochs=3, shuffle=False, verbose=0)
    kernel = layer.query_dense.kernel.value
    return {
        "losses": history.history["loss"],
        "devices": len(kernel.sharding.device_set),
        "kernel": {tuple(shard.data.shape) for shard in kernel.addressable_shards},
    }


def in_three_ways():
    """Losses, devices that hold the query's kernel and shapes of its shards, by distribution."""
    devices = keras.distribution.list_devices()
    return {
        "single": train(None),
        "data": train(keras.distribution.DataParallel(devices=devices)),
        "model": train(heads_over_devices(devices)),
    }
