"""keras.distribution on four devices of the JAX backend: data parallel, and heads over devices."""

import numpy as np
import pytest

from tests import on_backend
from tests.layers import distributed

pytest.importorskip("jax")


@pytest.fixture(scope="module")
def results():
    return on_backend.call("jax", distributed.in_three_ways)


@pytest.mark.parametrize("how", ["data", "model"])
def test_losses_are_those_of_a_single_device(results, how):
    expected = results["single"]["losses"]
    assert expected[-1] < expected[0]
    np.testing.assert_allclose(results[how]["losses"], expected, atol=1e-5)


def test_four_devices_took_part(results):
    devices = {how: result["devices"] for how, result in results.items()}
    assert devices == {"single": 1, "data": 4, "model": 4}
    kernels = {how: result["kernel"] for how, result in results.items()}
    whole, one_head = {(16, 4, 8)}, {(16, 1, 8)}
    assert kernels == {"single": whole, "data": whole, "model": one_head}
