"""A model trained under JAX is exported under TensorFlow, and answers as it did."""

import numpy as np
import pytest
import tensorflow as tf

from keras_combiner import LongDocumentClassifier
from keras_combiner.export import (
    export_litert,
    export_onnx,
    export_saved_model,
    run_litert,
    run_onnx,
)
from keras_combiner.export.onnx import token_ids_of
from keras_combiner.export.quantization import CALIBRATED, QUANTIZATIONS
from tests.on_backend import call

# On every change, layers and losses under JAX are compared with those under TensorFlow.
pytestmark = pytest.mark.slow

WORDS = {"weather": "rain wind cloud storm sun", "tale": "king queen castle dragon crown"}


def make_documents(count):
    generator = np.random.default_rng(0)
    labels = [list(WORDS)[i % 2] for i in range(count)]
    return [" ".join(generator.choice(WORDS[x].split(), size=60)) for x in labels], labels


def train(path):
    """Runs under JAX: trains, saves, and gives the probabilities of the documents."""
    import keras

    keras.utils.set_random_seed(0)
    texts, labels = make_documents(32)
    classifier = LongDocumentClassifier.from_texts(
        texts,
        labels,
        sequence_length=64,
        vocabulary_size=60,
        block_size=8,
        num_layers=1,
        hidden_dim=32,
        intermediate_dim=128,  # the converter leaves small weights in float32
        pooling="label",
        lexical=True,
        verbose=False,
    )
    classifier.fit(texts, labels, epochs=8, batch_size=8, verbose=0)
    classifier.save(path)
    # One batch: for a smaller last one, JAX would compile the model once more.
    return np.asarray(classifier.predict([*texts, ""], batch_size=33, verbose=0))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The model, loaded under TensorFlow; documents, and what it said of them under JAX."""
    path = tmp_path_factory.mktemp("jax") / "model.keras"
    expected = call("jax", train, path)
    texts, labels = make_documents(32)
    classifier = LongDocumentClassifier.load(path)
    named = [classifier.labels[i] for i in expected[:-1].argmax(-1)]
    assert named == labels, "it has learnt nothing, so there is nothing to compare"
    return classifier, [*texts, ""], expected


def test_it_is_the_same_model(trained):
    classifier, documents, expected = trained
    np.testing.assert_allclose(classifier.predict(documents, verbose=0), expected, atol=1e-5)


def test_saved_model(trained, tmp_path):
    classifier, documents, expected = trained
    export_saved_model(classifier, tmp_path / "1", documents=documents, verbose=False)
    signatures = tf.saved_model.load(str(tmp_path / "1")).signatures
    for name in ("serving_default", "serving_scores"):
        outputs = signatures[name](text=tf.constant(documents))
        np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)


ATOL = {
    "float32": 1e-5,
    "float16": 1e-2,
    "dynamic_int8": 5e-2,
    "int8": 5e-2,
    "int4": 0.2,
    "int16x8": 5e-2,
}


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_litert(trained, tmp_path, quantization):
    classifier, documents, expected = trained
    path = tmp_path / "model.tflite"
    options = {"calibration_data": documents} if quantization in CALIBRATED else {}
    export_litert(
        classifier,
        path,
        quantization=quantization,
        documents=documents,
        verbose=False,
        **options,
    )
    token_ids = classifier.tokenizer(documents, classifier.sequence_length).numpy()
    received, _ = run_litert(path, token_ids)
    if quantization not in (*CALIBRATED, "int4"):
        np.testing.assert_array_equal(received.argmax(-1), expected.argmax(-1))
    # The last document is empty, and belongs to one class hardly more than to the other.
    np.testing.assert_array_equal(received[:-1].argmax(-1), expected[:-1].argmax(-1))
    np.testing.assert_allclose(received, expected, atol=ATOL[quantization])


def test_litert_that_takes_text(trained, tmp_path):
    classifier, documents, expected = trained
    path = tmp_path / "model.tflite"
    export_litert(classifier, path, input_type="text", documents=documents, verbose=False)
    received, _ = run_litert(path, documents)
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_onnx(trained, tmp_path):
    classifier, documents, expected = trained
    export_onnx(classifier, tmp_path / "model.onnx", documents=documents, verbose=False)
    received, _ = run_onnx(tmp_path / "model.onnx", token_ids_of(classifier, documents))
    np.testing.assert_allclose(received, expected, atol=1e-5)
