import functools

import keras
import pytest

from keras_combiner import LongDocumentClassifier
from keras_combiner.export import export_litert, export_onnx, export_saved_model
from keras_combiner.export.quantization import CALIBRATED

TEXTS = ["it will rain tomorrow", "once upon a time a king", "rain and wind", "the king was old"]

LABELS = ["weather", "tale", "weather", "näher"]


def make(tokenizer, num_layers=2, labels=LABELS, **options):
    """Untrained, but with weights large enough for texts to get unlike probabilities."""
    keras.utils.set_random_seed(0)
    model = LongDocumentClassifier.from_texts(
        TEXTS,
        labels,
        sequence_length=40,
        num_layers=num_layers,
        num_heads=2,
        hidden_dim=32,
        intermediate_dim=128,  # the converter leaves small weights in float32
        block_size=8,
        tokenizer=tokenizer,
        vocabulary_size=80,
        verbose=False,
        **options,
    )
    for weight in model.trainable_weights:
        if any(x in weight.path for x in ("kernel", "embeddings", "queries")):
            weight.assign(keras.random.normal(weight.shape, stddev=0.2))
    return model


@pytest.fixture(scope="session")
def make_classifier():
    return make


@pytest.fixture(scope="session")
def classifier():
    """Has but one layer, since many tests export it; slow tests export two."""
    return make("wordpiece", num_layers=1)


@pytest.fixture(scope="session")
def byte_classifier():
    """Has but one layer, since many tests export it."""
    return make("bytes", num_layers=1)


@pytest.fixture(scope="session")
def documents():
    return [*TEXTS, "", "rain " * 200, "a king, a wind; zebra!"]


@pytest.fixture(scope="session")
def litert_file(classifier, documents, shared_exports):
    """Function of a quantization: path and report of a file of `classifier`.

    It is made once, when a test first asks for it; tests must not change it.
    """

    def file(quantization):
        export = functools.partial(
            export_litert,
            classifier,
            quantization=quantization,
            calibration_data=documents if quantization in CALIBRATED else None,
            documents=documents,
        )
        return shared_exports.get(f"classifier-{quantization}", "model.tflite", export)

    return file


@pytest.fixture(scope="session")
def saved_model_of_classifier(classifier, documents, shared_exports):
    """Path and report. Tests must not change it."""
    export = functools.partial(export_saved_model, classifier, documents=documents)
    return shared_exports.get("classifier-saved_model", "model/1", export)


@pytest.fixture(scope="session")
def onnx_file_of_classifier(classifier, documents, shared_exports):
    """Path and report. Tests must not change it."""
    export = functools.partial(export_onnx, classifier, documents=documents)
    return shared_exports.get("classifier-onnx", "model.onnx", export)
