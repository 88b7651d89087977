"""keras.distribution on four devices of the JAX backend: data parallel, and heads over devices."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("jax")

PROGRAM = """
import json
import sys

import keras
import numpy as np

from keras_combiner.layers import CombinerAttention

DEVICES = keras.distribution.list_devices()
X, Y = np.random.default_rng(0).normal(size=(2, 8, 13, 16)).astype("float32")


def heads_over_devices():
    mesh = keras.distribution.DeviceMesh((1, 4), ["batch", "model"], DEVICES)
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*(query|key|value|gate)/kernel"] = (None, "model", None)
    layout[".*(query|key|value|gate)/bias"] = ("model", None)
    layout[".*attention_output/kernel"] = ("model", None, None)
    return keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")


def train(distribution):
    keras.distribution.set_distribution(distribution)
    keras.utils.set_random_seed(0)
    x = keras.Input((13, 16))
    layer = CombinerAttention(
        4, 8, block_size=4, use_gate=True, summary="variational", rotary=True
    )
    model = keras.Model(x, layer(x, x))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    history = model.fit(X, Y, batch_size=4, epochs=3, shuffle=False, verbose=0)
    kernel = layer.query_dense.kernel.value
    shards = {tuple(shard.data.shape) for shard in kernel.addressable_shards}
    return {
        "losses": history.history["loss"],
        "devices": len(kernel.sharding.device_set),
        "kernel": sorted(shards),
    }


results = {
    "single": train(None),
    "data": train(keras.distribution.DataParallel(devices=DEVICES)),
    "model": train(heads_over_devices()),
}
with open(sys.argv[1], "w") as file:
    json.dump(results, file)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("distribution") / "results.json"
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    subprocess.run([sys.executable, "-c", PROGRAM, path], env=environment, check=True)
    return json.loads(path.read_text())


@pytest.mark.parametrize("how", ["data", "model"])
def test_losses_are_those_of_a_single_device(results, how):
    expected = results["single"]["losses"]
    assert expected[-1] < expected[0]
    np.testing.assert_allclose(results[how]["losses"], expected, atol=1e-5)


def test_four_devices_took_part(results):
    devices = {how: result["devices"] for how, result in results.items()}
    assert devices == {"single": 1, "data": 4, "model": 4}
    kernels = {how: result["kernel"] for how, result in results.items()}
    whole, one_head = [[16, 4, 8]], [[16, 1, 8]]
    assert kernels == {"single": whole, "data": whole, "model": one_head}
