"""The plan "window" in every kind of LiteRT file, and trained with int8 rounding."""

import numpy as np
import pytest

from keras_combiner.export import export_litert
from keras_combiner.export.litert import run_litert
from keras_combiner.export.quantization import CALIBRATED, QUANTIZATIONS
from keras_combiner.factorizations import Window
from keras_combiner.optimization import quantization_aware
from tests.export.test_export_litert import TOLERANCES

QUICK = ("int8",)


@pytest.fixture(scope="module")
def model(make_classifier):
    return make_classifier("bytes", num_layers=1, factorization=Window(7))


@pytest.mark.parametrize(
    "quantization",
    [x if x in QUICK else pytest.param(x, marks=pytest.mark.slow) for x in QUANTIZATIONS],
)
def test_litert(quantization, model, documents, tmp_path):
    report = export_litert(
        model,
        tmp_path / "model.tflite",
        quantization=quantization,
        calibration_data=documents if quantization in CALIBRATED else None,
        documents=documents,
        verbose=False,
    )
    assert report.largest_difference < TOLERANCES[quantization]


@pytest.mark.slow
def test_quantization_aware(model, documents, tmp_path):
    aware = quantization_aware(model)
    token_ids = aware.tokenizer(documents, aware.sequence_length)
    aware(token_ids, training=True)  # ranges of what it sees
    path = tmp_path / "model.tflite"
    export_litert(aware, path, quantization="int8", documents=documents, verbose=False)
    received, _ = run_litert(path, token_ids)
    np.testing.assert_allclose(received, aware.predict(token_ids, verbose=0), atol=0.03)
