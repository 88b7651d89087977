"""Weights of classes, labels and documents: what they are read as, and the loss that they make."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_combiner import LongDocumentClassifier
from keras_combiner.datasets import read_documents
from keras_combiner.models.class_weights import class_weights
from tests import on_backend
from tests.batches.small import SMALL, fitted_on

TEXTS = ["aaaa", "bbbb bb", "aa bb", "cc" * 30]  # the last takes several windows
SEVERAL = [["a"], ["b"], ["a", "b"], []]
CLASSES = ["a", "b", "b", "a"]
WEIGHTS = [1.0, 0.5, 2.0, 0.0]


def make(task="single_label", labels=CLASSES, **options):
    keras.utils.set_random_seed(3)
    without = {"dropout": 0.0, "token_dropout": 0.0, "lexical": False}
    return LongDocumentClassifier.from_texts(
        TEXTS, labels, task=task, **{**SMALL, **without, **options}
    )


@pytest.fixture(scope="module")
def classifier():
    """Untrained. Tests must not change it."""
    return make()


@pytest.fixture(scope="module")
def several():
    """Untrained, of several labels. Tests must not change it."""
    return make("multi_label", SEVERAL)


# Class weights


@pytest.mark.parametrize(
    ("names", "given", "expected"),
    [
        (["10", "3"], {3: 2.0}, [1, 2]),
        (["1", "2", "3"], {1: 5.0}, [5, 1, 1]),
        (["1", "2"], {np.int64(2): 5.0}, [1, 5]),
        (["1", "2"], {1.0: np.float32(3), b"2": 4}, [3, 4]),
        (["False", "True"], {True: 2.0}, [1, 2]),
        (["a", "b"], {"a": 0}, [0, 1]),
    ],
)
def test_keys_are_labels(names, given, expected):
    assert class_weights(given, names, None).tolist() == expected


def test_beside_token_ids_numbers_are_class_ids(several):
    weigh = {"names": ["10", "3"], "targets": None, "has_class_ids": True}
    assert class_weights({1: 2.0}, **weigh).tolist() == [1, 2]
    assert class_weights({np.int32(0): 2.0, "3": 3.0}, **weigh).tolist() == [2, 3]
    with pytest.raises(ValueError, match=r"key 3\. Beside token ids, numbers are class ids"):
        class_weights({3: 2.0}, **weigh)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tales": 2.0}, "`class_weight`: unknown label 'tales'. Nearest .* 'tale'"),
        ({0: 2.0}, "unknown label '0'.*Its keys are labels"),
        ({None: 2.0}, "The label is missing"),
        ({"tale": 1.0, b"tale": 2.0}, "two keys for the label 'tale'"),
        ({"tale": -1.0}, "`class_weight` of 'tale' must be a finite number of at least 0"),
        ({"tale": float("nan")}, "finite number"),
        ({"tale": "2"}, "finite number"),
        ({"tale": 0, "weather": 0.0}, "gives every label 0"),
        ("even", "must be 'balanced' or a dict"),
        ([1.0, 2.0], "must be 'balanced' or a dict"),
        (np.ones(2), "must be 'balanced' or a dict"),
    ],
)
def test_class_weights_that_are_none(given, words):
    with pytest.raises(ValueError, match=words):
        class_weights(given, ["tale", "weather"], None)


def test_balanced_counts_what_there_is(classifier):
    ids = np.array([0, 0, 0, 1])
    expected = {0: pytest.approx(2 / 3), 1: 2.0}
    token_ids = np.ones((4, 8), int)
    data = tf.data.Dataset.from_tensor_slices((token_ids, ids)).batch(3)
    caught = []

    class Stop(Exception):
        pass

    def catch(self, x, y, validation_split, settings):
        caught.append(settings.others["class_weight"])
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LongDocumentClassifier, "_fit_token_ids", catch)
        for x in ((data,), (token_ids, ids), (token_ids, ids[:, None]), (token_ids, tf.eye(2)[:1])):
            with pytest.raises(Stop):
                classifier.fit(*x, class_weight="balanced")
    assert caught == [expected, expected, expected, {0: 1.0, 1: 1.0}]
    with pytest.raises(ValueError, match="needs targets that can be counted"):
        classifier.fit(data.repeat(), class_weight="balanced", steps_per_epoch=2)


def test_balanced_with_several_labels():
    # "c" stands nowhere, "d" everywhere: there is nothing to balance them with.
    targets = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]], "float32")
    weights = class_weights("balanced", list("abcd"), lambda: [targets[:1], targets[1:]], True)
    assert weights.tolist() == pytest.approx([3, 1 / 3, 1, 1])


def test_a_regression_has_no_classes():
    with pytest.raises(ValueError, match="for classes, which a regression has none of"):
        make("regression", WEIGHTS).fit(TEXTS, WEIGHTS, class_weight="balanced")


# Weights of documents


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0, 2.0], "Every text needs a weight. Received: 4 texts, 2 weights"),
        ([1.0, -1.0, 1.0, 1.0], "`sample_weight` 1 must be a finite number of at least 0"),
        ([1.0, 1.0, float("nan"), 1.0], "`sample_weight` 2 must be"),
        ([1.0, 1.0, 1.0, None], "`sample_weight` 3 must be"),
        ([0.0, 0.0, 0.0, 0], "Every document weighs 0"),
        ("balanced", "Received a single one: 'balanced'"),
        ({0: 1.0}, "Received: a dict"),
    ],
)
def test_sample_weights_that_are_none(classifier, weights, words):
    for call in (
        lambda: classifier.fit(TEXTS, CLASSES, sample_weight=weights),
        lambda: classifier.fit(TEXTS, CLASSES, sample_weight=weights, validation_split=0.5),
        lambda: classifier.evaluate(TEXTS, CLASSES, sample_weight=weights),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_every_window_has_the_weight_of_its_document(monkeypatch):
    model = make(long_texts="windows")
    texts, labels = TEXTS * 5, CLASSES * 5
    weights = pd.Series(np.arange(20.0), index=np.arange(20)[::-1])
    weight_of = {}
    for text, weight in zip(texts, weights, strict=True):
        weight_of.setdefault(text[:1], set()).add(weight)
    caught = fitted_on(
        monkeypatch, model, texts, labels, sample_weight=weights, validation_split=0.25
    )
    assert "class_weight" not in caught  # Keras would multiply once more
    seen = set()
    for batches in (caught["batches"].finite(), caught["validation_data"].as_numpy_iterator()):
        for token_ids, _, weight in batches:
            for ids, x in zip(token_ids, weight, strict=True):
                (text,) = model.tokenizer.decode([ids])
                first = "a" if text.startswith("a") else text[:1]
                assert x in weight_of[first]
                seen.add(float(x))
    assert seen == set(weights)
    plain = fitted_on(monkeypatch, model, texts, labels)["batches"]
    assert "weights of the training documents" not in plain.fingerprint()
    assert plain.fingerprint()["class_weight"] is None
    name = model.labels[0]
    of_classes = fitted_on(monkeypatch, model, texts, labels, class_weight={name: 2.0})["batches"]
    assert of_classes.fingerprint()["class_weight"] == [2.0] + [1.0] * (len(model.labels) - 1)
    others = fitted_on(monkeypatch, model, texts, labels, sample_weight=weights + 1)["batches"]
    assert others.fingerprint() != caught["batches"].fingerprint()


def test_a_reader_brings_its_weights(classifier, tmp_path, monkeypatch):
    rows = zip(TEXTS, CLASSES, WEIGHTS, strict=True)
    lines = [json.dumps({"text": x, "label": y, "w": w}) for x, y, w in rows]
    (tmp_path / "r.jsonl").write_text("\n".join(lines))
    reader = read_documents(tmp_path / "r.jsonl", weight_field="w")
    options = {"class_weight": {"b": 3.0}, "shuffle": False}
    batches = fitted_on(monkeypatch, classifier, reader, **options)["batches"]
    ((_, _, weights),) = batches.finite()
    assert weights.tolist() == [1.0, 1.5, 6.0, 0.0]
    ((_, _, weights),) = batches.dataset(count=1).as_numpy_iterator()
    assert weights.tolist() == [1.0, 1.5, 6.0, 0.0]
    lists = fitted_on(monkeypatch, classifier, TEXTS, CLASSES, sample_weight=WEIGHTS, **options)
    digests = [x.documents.fingerprint()["weights"] for x in (batches, lists["batches"])]
    assert digests[0] == digests[1]
    for call in (
        lambda: classifier.evaluate(reader, sample_weight=WEIGHTS),
        lambda: classifier.evaluate(reader, sample_weight=WEIGHTS, steps=1),
        lambda: classifier.fit(reader, sample_weight=WEIGHTS),
        lambda: classifier.fit(reader, sample_weight=WEIGHTS, validation_split=0.2),
    ):
        with pytest.raises(ValueError, match="A reader brings the weights of its documents"):
            call()
    caught = fitted_on(monkeypatch, classifier, reader, shuffle=False, validation_split=0.5)
    parts = [*caught["batches"].finite(), *caught["validation_data"].as_numpy_iterator()]
    assert sorted(float(x) for *_, weights in parts for x in weights) == sorted(WEIGHTS)


def test_weights_are_multiplied_with_those_of_the_class(classifier, monkeypatch):
    caught = fitted_on(
        monkeypatch,
        classifier,
        TEXTS,
        CLASSES,
        sample_weight=WEIGHTS,
        class_weight={"b": 3.0},
        shuffle=False,
    )
    ((_, targets, weights),) = caught["batches"].finite()
    assert targets.tolist() == [0, 1, 1, 0]
    assert weights.tolist() == [1.0, 1.5, 6.0, 0.0]
    assert "class_weight" not in caught  # Keras would multiply once more


@pytest.mark.parametrize("long_texts", ["truncate", "windows"])
def test_evaluate_weighs_documents(long_texts):
    model = make(long_texts=long_texts)
    model.compile(loss=model.task.loss, metrics=["accuracy"], run_eagerly=True)
    outputs = model.predict(TEXTS, verbose=0)
    losses = -np.log(outputs[np.arange(4), [0, 1, 1, 0]])
    loss, _ = model.evaluate(TEXTS, CLASSES, sample_weight=WEIGHTS, verbose=0)
    assert loss == pytest.approx((losses * WEIGHTS).mean(), rel=1e-4)


# The loss of a step, by hand


def losses_of_several():
    """Of a step with weights of labels and documents, and of its validation; and by hand."""
    model = make("multi_label", SEVERAL)
    model.compile(run_eagerly=True)
    outputs = model.predict(TEXTS, verbose=0).astype("float64")
    truth = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    losses = -np.where(truth, np.log(outputs), np.log(1 - outputs))
    of_labels, of_documents = np.where(truth, [3.0, 0.5], 1), np.array(WEIGHTS)[:, None]
    by_label = {"class_weight": {"a": 3.0, "b": 0.5}}
    pairs = []
    held_out = {"validation_data": (TEXTS, SEVERAL)}
    for options, weights, run_eagerly in (
        ({**by_label, **held_out}, of_labels, True),
        ({"sample_weight": WEIGHTS}, of_documents, True),
        ({**by_label, "sample_weight": WEIGHTS}, of_labels * of_documents, False),
    ):
        model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy", run_eagerly=run_eagerly)
        history = model.fit(TEXTS, SEVERAL, verbose=0, **options).history
        pairs.append((history["loss"][0], (losses * weights).mean()))
        if "val_loss" in history:  # as Keras: not weighed by class
            pairs.append((history["val_loss"][0], losses.mean()))
    # The next training weighs all labels alike, though its step was traced before.
    history = model.fit(TEXTS, SEVERAL, verbose=0).history
    return [*pairs, (history["loss"][0], losses.mean())]


def test_the_loss_of_several_labels_is_that_by_hand(eager):
    for received, expected in losses_of_several():
        assert received == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_the_loss_on_jax_is_that_by_hand():
    for received, expected in on_backend.call("jax", losses_of_several):
        assert received == pytest.approx(expected, rel=1e-4)
