"""Other attention than the default in every export.

Variances in summaries, whose squares have another range than queries; opened parts, which are
chosen among what integers may have made equal; first blocks, and heads that favor what is direct;
a window; plans by layer; and blocks like those of ModernBERT and of Llama, without positions.
"""

import numpy as np
import pytest

from keras_combiner.export import export_litert, export_onnx, export_saved_model
from keras_combiner.export.litert import run_litert
from keras_combiner.export.quantization import CALIBRATED, QUANTIZATIONS
from keras_combiner.factorizations import Fixed, Window
from keras_combiner.optimization import quantization_aware
from tests.eagerly import eagerly
from tests.export.test_export_litert import TOLERANCES

MODERN = {
    "rotary": True,
    "use_bias": False,
    "use_gated_activation": True,
    "use_position_embeddings": False,
}
REFINEMENTS = {
    "gaussian": {"summary": "gaussian"},
    "opened": {"factorization": Fixed(8, part_size=4, opened=2)},
    "first blocks": {"factorization": Fixed(8, first_blocks=1), "locality": 6.0},
    "window": {"factorization": Window(7)},
    "plans by layer": {"factorization": [Window(7), Fixed(8, opened=1)], "num_layers": 2},
    "as ModernBERT": {
        **MODERN,
        "num_layers": 2,
        "factorization": [Fixed(8, part_size=4), Window(7)],
        "rotary_base": [1000.0, 100.0],
        "normalization": "layer_norm_no_offset",
        "normalize_embeddings": True,
    },
    "as GTE": {**MODERN, "use_bias": True, "normalize_first": False},
    "as Llama": {**MODERN, "normalization": "rms_norm", "activation": "silu"},
}


@pytest.fixture(scope="module")
def model(make_classifier, request):
    return make_classifier("bytes", **{"num_layers": 1, **REFINEMENTS[request.param]})


# Quick tests convert every plan: tests/factorizations/test_every_plan_litert.py.
pytestmark = pytest.mark.slow
every_refinement = pytest.mark.parametrize("model", REFINEMENTS, indirect=True, scope="module")


@every_refinement
@pytest.mark.parametrize("quantization", QUANTIZATIONS)
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


@every_refinement
def test_onnx(model, documents, tmp_path):
    report = export_onnx(model, tmp_path / "model.onnx", documents=documents, verbose=False)
    assert report.largest_difference < 1e-5


@every_refinement
def test_saved_model(model, documents, tmp_path):
    report = export_saved_model(model, tmp_path / "1", documents=documents, verbose=False)
    assert report.largest_difference < 1e-5


@every_refinement
def test_quantization_aware(model, documents, tmp_path):
    aware = quantization_aware(model)
    token_ids = aware.tokenizer(documents, aware.sequence_length)
    aware(token_ids, training=True)  # ranges of what it sees
    path = tmp_path / "model.tflite"
    export_litert(aware, path, quantization="int8", documents=documents, verbose=False)
    received, _ = run_litert(path, token_ids)
    with eagerly():
        expected = aware.predict(token_ids, verbose=0)
    np.testing.assert_allclose(received, expected, atol=0.03)
