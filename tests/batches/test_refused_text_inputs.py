"""Texts and labels that are refused: what is missing, unknown or without an order."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf

from keras_combiner import LongDocumentClassifier, tasks
from keras_combiner.batches import text_inputs
from keras_combiner.datasets import read_documents, write_jsonl
from keras_combiner.models import CombinerMaskedLM
from tests.batches.small import SMALL


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ("it will rain", "Received a single one: 'it will rain'. Wrap it in a list"),
        (b"it will rain", "Received a single one"),
        ({"a": "rain"}, r"Received: a dict. Pass list\(x.values\(\)\)"),
        ({"rain", "wind"}, "Received: a set, which has no order"),
        (pd.DataFrame({"texts": ["rain"], "labels": ["x"]}), r"columns \['texts', 'labels'\]"),
        (pa.table({"text": ["rain"]}), r"Pick one of them: table\['text'\]"),
        (np.array([["rain"], ["wind"]]), r"an array of shape \(2, 1\). Reshape it"),
        (tf.constant([["rain"]]), r"an array of shape \(1, 1\)"),
        (np.array("rain"), r"an array of shape \(\)"),
    ],
)
def test_what_has_no_order_or_is_more_than_texts(texts, words, classifier):
    for call in (
        lambda: classifier.fit(texts, ["a", "b"]),
        lambda: classifier.evaluate(texts, ["a", "b"]),
        lambda: classifier.predict(texts),
        lambda: classifier.classify(texts),
        lambda: LongDocumentClassifier.from_texts(texts, ["a", "b"], **SMALL),
        lambda: CombinerMaskedLM.from_texts(texts, **SMALL),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_what_can_be_read_once_is_refused(classifier):
    for call in (
        lambda x: classifier.classify(x),
        lambda x: LongDocumentClassifier.from_texts(x, ["a", "b"], **SMALL),
        lambda x: LongDocumentClassifier.from_texts(["a", "b"], x, **SMALL),
        lambda x: classifier.fit(["a", "b"], x),
    ):
        with pytest.raises(ValueError, match=r"Received: a generator, .* Pass list\(x\)"):
            call(x for x in "ab")


@pytest.mark.parametrize(
    "texts",
    [
        ["a", None],
        np.array(["a", np.nan], object),
        pd.Series(["a", pd.NA], dtype="string"),
        pd.Series(["a", None], dtype="category"),
        pa.array(["a", None]),
    ],
    ids=lambda x: type(x).__name__,
)
def test_missing_texts_are_named_with_their_position(texts, classifier):
    for call in (
        lambda: classifier.fit(texts, ["a", "b"]),
        lambda: classifier.predict(texts),
        lambda: classifier.classify(texts),
        lambda: LongDocumentClassifier.from_texts(texts, ["a", "b"], **SMALL),
    ):
        with pytest.raises(TypeError, match="Received at position 1: "):
            call()


@pytest.mark.parametrize("number", [0, 1, 3])
def test_every_text_needs_a_label(number, classifier):
    labels = ["a", "b", "a"][:number]
    for call in (
        lambda: classifier.fit(["x", "y"], labels),
        lambda: classifier.fit(["x", "y"], labels, validation_split=0.5),
        lambda: classifier.evaluate(["x", "y"], labels),
        lambda: LongDocumentClassifier.from_texts(["x", "y"], labels, **SMALL),
    ):
        with pytest.raises(ValueError, match=f"Received: 2 texts, {number} labels"):
            call()


MISSING = [None, float("nan"), np.float32("nan"), pd.NaT, pd.NA, np.datetime64("NaT"), "", "  "]


@pytest.mark.parametrize("missing", MISSING, ids=lambda x: type(x).__name__)
def test_missing_labels_are_named_with_their_position(missing, classifier):
    for call in (
        lambda: LongDocumentClassifier.from_texts(["x"] * 3, ["a", "b", missing], **SMALL),
        lambda: classifier.fit(["x"] * 3, ["a", "b", missing]),
        lambda: classifier.evaluate(["x"] * 3, ["a", "b", missing]),
    ):
        with pytest.raises(ValueError, match="label 2: The label is missing"):
            call()
    task = tasks.get("multi_label")
    with pytest.raises(ValueError, match="label 1: The label is missing"):
        task.learned([["a"], ["b", missing]])
    with pytest.raises(ValueError, match="label 1: Expected a list of labels for every document"):
        task.learned([["a"], missing])
    with pytest.raises(ValueError, match="label 1: Expected a finite number"):
        tasks.get("regression").learned([1.0, missing])


@pytest.mark.parametrize(
    ("task", "labels", "words"),
    [
        ("single_label", "ab", "Expected a list of labels. Received a single one"),
        ("single_label", {"a", "b"}, "Received: a set"),
        (
            "single_label",
            pd.DataFrame({"label": ["a", "b"]}),
            r"Pick one of them: table\['label'\]",
        ),
        ("single_label", np.eye(3), r"label 0: .* Received a row of 3. .*argmax\(-1\)"),
        ("single_label", list(np.eye(2)), r"label 0: .* Received a row of 2. .*argmax\(-1\)"),
        ("single_label", tf.eye(2), "label 0: .* Received a row of 2"),
        ("single_label", ["a", ["b"]], r"label 1: Expected one label \(task='single_label'\)"),
        ("single_label", ["a", {"b": 1}], "label 1: Expected one label"),
        ("single_label", ["a", float("inf")], "label 1: A label must be finite"),
        ("single_label", ["a", b"\xff"], "label 1: A label in bytes must be UTF-8"),
        ("single_label", ["a", object], "label 1: A label must be a string, a number or a boolean"),
        ("single_label", [" 1", "1"], "The labels ' 1' and '1' look alike"),
        ("multi_label", [["a b"], ["a  b"]], "'a  b' and 'a b' look alike"),
        ("multi_label", np.eye(3, dtype=int), "inverse_transform of scikit-learn"),
        ("multi_label", np.eye(3).tolist(), "inverse_transform of scikit-learn"),
        ("multi_label", [[0, 1], [1, 0]], "inverse_transform of scikit-learn"),
        ("multi_label", [[True, False], [True, True]], "inverse_transform of scikit-learn"),
        ("multi_label", np.array([[0.2, 0.7]]), "and not of probabilities"),
        ("multi_label", [["a"], "b"], "label 1: Expected a list of labels for every document"),
        ("multi_label", [["a"], {"b": 1}], "label 1: Expected a list of labels for every document"),
        ("regression", [1.0, "2"], r"label 1: Expected a finite number .*Received: '2'"),
        ("regression", [1.0, True], "label 1: Expected a finite number"),
        ("regression", [1.0, np.bool_(True)], "label 1: Expected a finite number"),
        ("regression", [1.0, np.array(True)], "label 1: Expected a finite number"),
        ("regression", [1.0, tf.constant(True)], "label 1: Expected a finite number"),
        ("regression", tf.constant([True, False]), "label 0: Expected a finite number"),
        ("regression", [1.0, tf.constant("2")], "label 1: Expected a finite number"),
        ("regression", [1.0, np.array("2")], "label 1: Expected a finite number"),
        ("regression", [1.0, 1e39], "label 1: Expected a finite number"),
        ("regression", [1.0, [2.0, 3.0]], "label 1: Expected a finite number"),
        ("regression", [1.0, 1 + 1j], "label 1: Expected a finite number"),
    ],
)
def test_labels_that_are_none(task, labels, words):
    with pytest.raises(ValueError, match=words):
        tasks.get(task).learned(labels)


def test_names_of_saved_models_stay():
    task, names = tasks.get("single_label"), ["true", "1.0", "1.00", "", "Mu\u0308ll", "2"]
    target = task.targets(names)
    for label, place in (
        ("true", 0),
        (True, 0),
        ("1.0", 1),
        ("", 3),
        ("Mu\u0308ll", 4),
        ("M\u00fcll", 4),
        (2.0, 5),
    ):
        assert target(label) == place
    with pytest.raises(ValueError, match="unknown label '1'"):
        target(1)  # "1.0" and "1.00" are both called so now
    model = LongDocumentClassifier.from_texts(["x"] * 2, ["a", "b"], **SMALL)
    config = {**model.get_config(), "labels": names}
    assert LongDocumentClassifier.from_config(config).labels == names


# Unknown labels


def test_an_unknown_label_is_named_with_its_place_and_its_neighbours(classifier, tmp_path):
    words = r"label 1: unknown label 'aa'. Nearest of the 2 labels that are known: 'a'\.$"
    for call in (classifier.fit, classifier.evaluate):
        with pytest.raises(ValueError, match=words):
            call(["x", "y"], ["a", "aa"])
    with pytest.raises(ValueError, match=words):
        classifier.fit(["x", "y"], ["a", "b"], validation_data=(["x", "y"], ["a", "aa"]))
    write_jsonl(tmp_path / "r.jsonl", [("x", "a"), ("y", "aa")])
    with pytest.raises(ValueError, match=r"r\.jsonl:2: unknown label 'aa'"):
        classifier.evaluate(read_documents(tmp_path / "r.jsonl"))


def test_an_unknown_label_takes_one_line_whatever_is_known():
    names = [f"class {i}" for i in range(3000)]
    target = tasks.get("single_label").targets(names)
    assert [target(x) for x in names] == list(range(3000))
    with pytest.raises(ValueError, match="Nearest of the 3000 labels") as error:
        target("class x" * 100)
    assert len(str(error.value)) < 300


def test_a_reader_brings_its_labels(classifier, tmp_path):
    write_jsonl(tmp_path / "r.jsonl", [("x", "a"), ("y", "b")])
    reader = read_documents(tmp_path / "r.jsonl")
    with pytest.raises(ValueError, match="A reader brings the labels of its documents"):
        classifier.fit(reader, ["a", "b"])
    with pytest.raises(ValueError, match=r"reader.texts\(\)"):
        LongDocumentClassifier.from_texts(reader, reader.labels(), **SMALL)
    model = LongDocumentClassifier.from_texts(reader.texts(), reader.labels(), **SMALL)
    assert model.labels == ["a", "b"]


def test_masked_elements_are_missing(classifier):
    weights = np.ma.array([1.0, 1.0], mask=[True, False])
    with pytest.raises(ValueError, match="`sample_weight` 0"):
        classifier.evaluate(["a", "b"], ["a", "b"], sample_weight=weights)
    assert text_inputs.as_list(weights[1:], "weights") == [1.0]
