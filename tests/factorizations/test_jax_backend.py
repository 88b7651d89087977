"""The same numbers and gradients on Keras's JAX backend, where JAX is installed."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_combiner.factorizations import Fixed
from keras_combiner.factorizations.summaries import SUMMARIES
from tests import reference

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed"
)

PROGRAM = """
import jax, sys
import numpy as np
from keras_combiner.factorizations import Fixed
data = dict(np.load(sys.argv[1]))
arrays = [data[name] for name in ("query", "key", "value")]
results = {}
for summary in ("max", "mean", "variational"):
    for causal in (False, True):
        def attend(*arrays):
            return Fixed(4).attend(
                *arrays, padding_mask=data["mask"], causal=causal, summary=summary
            )
        def loss(*arrays):
            return (attend(*arrays) * data["upstream"]).sum()
        name = f"{summary}/{causal}"
        results[name] = np.array(jax.jit(attend)(*arrays))
        for array, gradient in zip(("query", "key", "value"), jax.grad(loss, (0, 1, 2))(*arrays)):
            results[f"{name}/{array}"] = np.array(gradient)
np.savez(sys.argv[2], **results)
"""


@pytest.fixture(scope="module")
def problem():
    query, key, value = reference.heads((2, 1, 9, 2), seed=1)
    mask = np.array([[1] * 9, [1, 1, 1, 1, 0, 1, 1, 0, 0]], bool)
    upstream = np.random.default_rng(0).normal(size=value.shape).astype("float32")
    upstream *= mask[:, np.newaxis, :, np.newaxis]
    return {"query": query, "key": key, "value": value, "mask": mask, "upstream": upstream}


@pytest.fixture(scope="module")
def results(problem, tmp_path_factory):
    folder = tmp_path_factory.mktemp("jax")
    np.savez(folder / "problem.npz", **problem)
    subprocess.run(
        [sys.executable, "-c", PROGRAM, folder / "problem.npz", folder / "results.npz"],
        env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    return dict(np.load(folder / "results.npz"))


def loss(problem, arrays, causal, summary):
    outputs, _ = reference.attend(Fixed(4), *arrays, problem["mask"], causal, summary)
    return np.sum(outputs * problem["upstream"])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("summary", SUMMARIES)
def test_outputs_and_gradients_equal_the_reference(problem, results, summary, causal, step=1e-6):
    arrays = [problem[name].astype("float64") for name in ("query", "key", "value")]
    expected, _ = reference.attend(Fixed(4), *arrays, problem["mask"], causal, summary)
    np.testing.assert_allclose(results[f"{summary}/{causal}"], expected, atol=1e-5)
    for name, array in zip(("query", "key", "value"), arrays, strict=True):
        gradient = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            at, losses = array[index], []
            for shift in (step, -step):
                array[index] = at + shift
                losses.append(loss(problem, arrays, causal, summary))
            array[index] = at
            gradient[index] = (losses[0] - losses[1]) / (2 * step)
        received = results[f"{summary}/{causal}/{name}"]
        np.testing.assert_allclose(received, gradient, atol=1e-4, err_msg=name)
