"""A model saved under TensorFlow is the same model on JAX and PyTorch, and learns the same."""

import numpy as np
import pytest

from keras_combiner import factorizations
from tests import on_backend
from tests.eagerly import eagerly
from tests.layers import model_of_plans


@pytest.fixture(
    scope="module",
    params=[
        ("fixed", "routing"),  # the latter has weights that training moves without gradients
        pytest.param(factorizations.names(), marks=pytest.mark.slow),
    ],
    ids=["two plans", "every plan"],
)
def path(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model_of_plans.build(request.param).save(path)
    return str(path)


@pytest.fixture(scope="module")
def expected(path):
    with eagerly():
        return model_of_plans.use(path)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_outputs_and_training_equal_those_on_tensorflow(path, expected, backend):
    received = on_backend.call(backend, model_of_plans.use, path)
    assert received.keys() == expected.keys()
    assert np.abs(expected["outputs after training"] - expected["outputs"]).max() > 1e-2
    for name, x in received.items():
        tolerance = 1e-5 if name == "outputs" else 1e-4
        np.testing.assert_allclose(x, expected[name], atol=tolerance, err_msg=name)
