"""What each kind of .tflite file keeps of a trained model's accuracy."""

import pathlib

import numpy as np
import pytest

from keras_combiner import LongDocumentClassifier
from keras_combiner.datasets import load_sotu_era
from keras_combiner.export import export_litert, run_litert
from keras_combiner.export.quantization import CALIBRATED

SHIPPED = pathlib.Path(__file__).parents[2] / "saved_models" / "sotu_era" / "model.keras"
CALIBRATION_DOCUMENTS = 100
# Share of accuracy that may be lost, share of the size of float32, one document in how many.
LIMITS = {
    "dynamic_int8": (0.005, 0.29, 1),
    "int8": (0.01, 0.29, 1),
    "int4": (0.02, 0.19, 1),
    "int16x8": (0.005, 0.29, 4),  # a document takes long
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The classifier, token ids whole and mostly padding, class ids, and bytes in float32."""
    classifier = LongDocumentClassifier.load(SHIPPED)
    texts, labels = zip(*load_sotu_era("test"), strict=True)
    beginnings = [" ".join(text.split()[:300]) for text in texts]
    token_ids = [
        classifier.tokenizer(x, classifier.sequence_length).numpy()
        for x in (list(texts), beginnings)
    ]
    classes = np.array([classifier.labels.index(label) for label in labels])
    path = tmp_path_factory.mktemp("float32") / "model.tflite"
    size = export_litert(classifier, path, documents=["a"]).size
    return classifier, token_ids, classes, size


@pytest.mark.slow
@pytest.mark.parametrize("quantization", LIMITS)
def test_keeps_accuracy_on_whole_and_on_padded_documents(quantization, trained, tmp_path):
    classifier, token_ids, classes, float32_size = trained
    most_lost, largest_size, every = LIMITS[quantization]
    options = {}
    if quantization in CALIBRATED:
        texts = [document.text for document in load_sotu_era("train")]
        options["calibration_data"] = texts[:CALIBRATION_DOCUMENTS]
    path = tmp_path / "model.tflite"
    report = export_litert(classifier, path, quantization=quantization, documents=["a"], **options)
    assert report.size <= largest_size * float32_size
    for ids in token_ids:
        rows, expected = ids[::every], classes[::every]
        received, seconds = run_litert(path, rows, num_threads=2)
        reached = np.mean(received.argmax(-1) == expected)
        reference = np.mean(classifier.predict(rows, verbose=0).argmax(-1) == expected)
        print(
            f"{quantization}: accuracy {reached:.4f}, of the model {reference:.4f}, "
            f"{report.size / float32_size:.3f} of the size, {1000 * np.median(seconds):.1f} ms"
        )
        assert reached >= reference - most_lost
