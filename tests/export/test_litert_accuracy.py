"""What each kind of .tflite file keeps of a trained model's accuracy: rows of the deploy report."""

import pathlib

import pytest

from benchmarks.deploy_report import rows
from benchmarks.deploy_report.rows import PADDED, TEXT, WHOLE
from keras_combiner import LongDocumentClassifier
from keras_combiner.export import export_litert

SHIPPED = pathlib.Path(__file__).parents[2] / "saved_models" / "sotu_era"
# Share of accuracy that may be lost, share of the size of float32, one document in how many.
LIMITS = {
    "dynamic_int8": (0.005, 0.29, 1),
    TEXT: (0.005, 0.5, 4),  # holds the tokenizer
    "int8": (0.01, 0.29, 1),
    "int4": (0.02, 0.19, 1),
    "int16x8": (0.005, 0.29, 4),  # a document takes long
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The classifier, what it gives of all test documents, and its bytes in float32."""
    classifier = LongDocumentClassifier.load(SHIPPED)
    path = tmp_path_factory.mktemp("float32") / "model.tflite"
    size = export_litert(classifier, path, documents=["a"]).size
    return classifier, rows.expected(classifier, rows.Documents(classifier)), size


@pytest.mark.slow
@pytest.mark.parametrize("name", LIMITS)
def test_keeps_accuracy_on_whole_and_on_padded_documents(name, trained, tmp_path):
    classifier, expected, float32_size = trained
    most_lost, largest_size, every = LIMITS[name]
    row, path = rows.ROWS[name], tmp_path / "model.tflite"
    rows.export(row, classifier, path)
    documents = rows.Documents(classifier, every)
    expected = {x: y[::every] for x, y in expected.items()}
    figures = rows.figures(row, classifier, path, documents, expected)
    assert figures["size"] <= largest_size * float32_size
    for x in (WHOLE, PADDED):
        found = figures[x]
        print(f"{name}, {x}: accuracy {found['accuracy']:.4f}, {found['model_accuracy']:.4f}")
        assert found["accuracy"] >= found["model_accuracy"] - most_lost
