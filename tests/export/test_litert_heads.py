"""Pooling by label and the bag of tokens in quantized .tflite files."""

import numpy as np
import pytest

from keras_combiner.export import export_litert
from tests.export.conftest import make


@pytest.mark.parametrize(
    ("quantization", "atol"),
    [("int8", 0.03), pytest.param("int4", 0.15, marks=pytest.mark.slow)],
)
def test_a_table_with_rows_of_zeros(quantization, atol, documents, tmp_path):
    model = make("wordpiece", num_layers=1, pooling="label", lexical=True)
    table = model.get_layer("lexical").embeddings
    table.assign(table * (np.arange(table.shape[0]) % 2)[:, np.newaxis])
    report = export_litert(
        model,
        tmp_path / "model.tflite",
        quantization=quantization,
        calibration_data=documents if quantization == "int8" else None,
        documents=documents,
        verbose=False,
    )
    assert report.largest_difference < atol


@pytest.mark.slow
def test_one_that_was_never_trained(documents, tmp_path):
    model = make("wordpiece", num_layers=1, pooling="label", lexical=True)
    for weight in (model.get_layer("lexical").embeddings, model.get_layer("pooling").queries):
        weight.assign(0 * weight)
    options = {"documents": documents, "verbose": False}
    for quantization in ("dynamic_int8", "int4"):
        path = tmp_path / f"{quantization}.tflite"
        report = export_litert(model, path, quantization=quantization, **options)
        assert report.largest_difference < 0.15
