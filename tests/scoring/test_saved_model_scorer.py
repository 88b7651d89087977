from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.scoring.saved_model_scorer import SavedModelScorer
from tests.serving.stand_in import write_stand_in

SHIPPED = Path(__file__).parents[2] / "saved_models" / "sotu_era"
LABELS = (SHIPPED / "labels.txt").read_text().splitlines()
TEXTS = ["", "the state of the union ", "Über die Lage — " * 40, "war and peace, " * 3000]


@pytest.mark.slow
def test_scores_are_those_of_the_model():
    models = pytest.importorskip("keras_combiner.models")
    classifier = models.LongDocumentClassifier.load(SHIPPED / "model.keras")
    expected = classifier.classify(TEXTS, batch_size=1)
    rows = SavedModelScorer(SHIPPED / "1", labels=classifier.labels).score(TEXTS)
    for row, result in zip(rows, expected, strict=True):
        assert set(row) == {"label", "probabilities", "tokens", "truncated"}
        assert row["probabilities"] == pytest.approx(result["probabilities"], abs=1e-4)
        for name in ("label", "tokens", "truncated"):
            assert row[name] == result[name]


def test_the_shipped_model_tells_label_tokens_and_what_was_cut():
    rows = SavedModelScorer(SHIPPED / "1", labels=LABELS).score(TEXTS)
    assert [x["truncated"] for x in rows] == [False, False, False, True]
    assert rows[0]["tokens"] == 2 and rows[3]["tokens"] == 2560
    for row in rows:
        assert list(row["probabilities"]) == LABELS
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert row["label"] == max(row["probabilities"], key=row["probabilities"].get)


def test_without_labels_probabilities_are_a_list_and_others_must_fit(tmp_path):
    write_stand_in(tmp_path / "1", scores=False, counts=False)
    [row] = SavedModelScorer(tmp_path / "1").score(["one"])
    assert row == {"label": "first short", "probabilities": pytest.approx([0.3, 0.7])}
    named = SavedModelScorer(tmp_path / "1", labels=["first long", "first short"]).score(["one"])
    assert named[0]["probabilities"] == pytest.approx({"first long": 0.3, "first short": 0.7})
    for labels, words in (
        (["a"], r"each of the model's 2 classes. Received: 1 labels"),
        (["a", "a"], "every label once"),
        (["first short", "first long"], "the model says 'first short' where they say 'first long'"),
        (["a", "b"], "the model says 'first short' where they say 'b'"),
    ):
        with pytest.raises(ValueError, match=words):
            SavedModelScorer(tmp_path / "1", labels=labels)


def test_a_model_of_something_else_is_refused(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec([None], tf.float32, name="x")
    module.f = tf.function(lambda x: {"y": x + np.float32(1)}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.f})
    with pytest.raises(ValueError, match=r"whose signature 'serving_default' takes `text`"):
        SavedModelScorer(tmp_path)


@pytest.mark.parametrize("named", [True, False])
def test_labels_above_their_thresholds_are_named(named, tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec([None], tf.string, name="text")

    def serve(text):
        probabilities = tf.tile([[0.2, 0.9, 0.6]], [tf.shape(text)[0], 1])
        is_label = probabilities > tf.constant([0.1, 0.5, 0.7])
        return {"probabilities": probabilities, "is_label": is_label, "label": text}

    module.f = tf.function(serve, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.f})
    row, other = SavedModelScorer(tmp_path, labels=list("abc") if named else None).score(["", "b"])
    assert (row["label"], other["label"]) == (None, "b")  # no label is none, and not an empty one
    if named:
        assert row["labels"] == ["b", "a"] and "is_label" not in row
    else:
        assert row["is_label"] == [True, True, False] and "labels" not in row
