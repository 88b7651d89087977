"""Embedders embed and learn on JAX and PyTorch as on TensorFlow."""

import numpy as np
import pytest

from tests.models import embedder_program
from tests.models.test_embedder_training import ANSWERS, QUESTIONS
from tests.models.weather_embedder import TEXTS, make
from tests.on_backend import call


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends(backend, tmp_path):
    make(normalize=True, pooling="weighted_mean", long_texts="windows").save(
        tmp_path / "model.keras"
    )
    arguments = (tmp_path, TEXTS, QUESTIONS, ANSWERS)
    expected, losses, weights, _ = embedder_program.embedded_and_trained(*arguments)
    received = call(backend, embedder_program.embedded_and_trained, *arguments)
    np.testing.assert_allclose(received[0], expected, atol=1e-5)
    assert received[1] == pytest.approx(losses, rel=1e-4)
    for x, y in zip(received[2], weights, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-4)
    assert "needs the TensorFlow backend" in received[3]
