from pathlib import Path

import pytest

from keras_combiner.scoring.saved_model_scorer import SavedModelScorer

SHIPPED = Path(__file__).parents[2] / "saved_models" / "sotu_era"
TEXTS = ["", "the state of the union ", "Über die Lage — " * 40, "war and peace, " * 3000]


def test_scores_are_those_of_the_model():
    models = pytest.importorskip("keras_combiner.models")
    classifier = models.LongDocumentClassifier.load(SHIPPED / "model.keras")
    scorer = SavedModelScorer(SHIPPED / "1", labels=classifier.labels)
    expected = classifier.classify(TEXTS, batch_size=1)
    rows = scorer.score(TEXTS)
    assert [x["truncated"] for x in rows] == [False, False, False, True]
    for row, result in zip(rows, expected, strict=True):
        assert set(row) == {"label", "probabilities", "tokens", "truncated"}
        assert row["probabilities"] == pytest.approx(result["probabilities"], abs=1e-4)
        for name in ("label", "tokens", "truncated"):
            assert row[name] == result[name]


def test_without_labels_probabilities_are_a_list_and_others_must_fit():
    [row] = SavedModelScorer(SHIPPED / "1").score(["one"])
    assert len(row["probabilities"]) == 10
    with pytest.raises(ValueError, match=r"each of the model's 10 classes. Received: 2 labels"):
        SavedModelScorer(SHIPPED / "1", labels=["a", "b"])
