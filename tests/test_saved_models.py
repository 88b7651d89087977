"""The model that ships does what its report says, in all three forms."""

import importlib.util
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the tokenizer's ops

from keras_combiner import LongDocumentClassifier
from keras_combiner.datasets import load_sotu_era
from keras_combiner.export import run_litert

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "saved_models" / "sotu_era"


@pytest.fixture(scope="module")
def classifier():
    return LongDocumentClassifier.load(SHIPPED)


@pytest.fixture(scope="module")
def documents():
    return load_sotu_era("test")


@pytest.fixture(scope="module")
def token_ids(classifier, documents):
    return classifier.tokenizer([x.text for x in documents], classifier.sequence_length).numpy()


@pytest.fixture(scope="module")
def report():
    return json.loads((SHIPPED / "report.json").read_text())


def accuracy(labels, probabilities, documents):
    named = [labels[i] for i in probabilities.argmax(-1)]
    return np.mean([name == x.label for name, x in zip(named, documents, strict=True)])


def test_reading_all_of_it_beats_reading_512_tokens(report):
    short, whole, litert = list(report["test_accuracy"].values())[2:]
    assert whole >= 0.84
    assert whole - short >= 0.12
    assert whole - litert <= 0.005


def assert_reached(reported, labels, probabilities, documents):
    # One segment of room: another processor may round a close call the other way.
    room = 1 / len(documents) + 1e-9
    assert accuracy(labels, probabilities, documents) == pytest.approx(reported, abs=room)


@pytest.mark.slow
def test_litert_reaches_the_reported_accuracy(classifier, documents, token_ids, report):
    *_, reported = report["test_accuracy"].values()
    probabilities, _ = run_litert(SHIPPED / "model.tflite", token_ids)
    assert_reached(reported, classifier.labels, probabilities, documents)


def test_litert_is_close_to_the_model_that_it_was_made_from(eager, classifier, token_ids):
    probabilities, _ = run_litert(SHIPPED / "model.tflite", token_ids[:8])
    expected = classifier.predict(token_ids[:8], verbose=0)
    assert np.array_equal(probabilities.argmax(-1), expected.argmax(-1))


@pytest.mark.slow
def test_keras_reaches_the_reported_accuracy(classifier, documents, token_ids, report):
    *_, reported, _ = report["test_accuracy"].values()
    probabilities = classifier.predict(token_ids, verbose=0)
    assert_reached(reported, classifier.labels, probabilities, documents)


def test_the_saved_model_names_the_same_labels(eager, classifier, documents):
    served = tf.saved_model.load(SHIPPED / "1").signatures["serving_default"]
    texts = [x.text for x in documents[:8]]
    outputs = served(text=tf.constant(texts))
    expected = classifier.classify(texts)
    assert [x.decode() for x in outputs["label"].numpy()] == [x["label"] for x in expected]


def test_the_device_makes_the_same_token_ids_of_every_test_document(token_ids, documents):
    spec = importlib.util.spec_from_file_location(
        "wordpiece", ROOT / "examples/on_device/wordpiece.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    word_piece = module.WordPiece(SHIPPED / "vocab.txt")
    for row, document in zip(token_ids, documents, strict=True):
        assert np.array_equal(word_piece.encode(document.text, len(row)), row)


def test_fits_into_12_megabytes_of_git():
    files = [file for file in SHIPPED.rglob("*") if file.is_file()]
    assert sum(len(zlib.compress(file.read_bytes())) for file in files) < 12e6


def test_the_card_tells_the_figures_of_the_report(report):
    card = (SHIPPED / "README.md").read_text()
    for name, value in report["test_accuracy"].items():
        assert f"| {name} | {value:.3f} |" in card
