"""The data sets of the quality benchmark are the same for every row."""

import json

from benchmarks.quality import data, training
from benchmarks.quality.rows import TFIDF, TFIDF_TRUNCATED
from tests.benchmarks.quality.small import SETTINGS

TEXTS = {
    "length": 64,
    "vocabulary_size": 60,
    "documents": {},
    "batch_size": 2,
    "steps": 2,
    "token_dropout": 0.3,
}


def test_the_order_is_the_same_for_all_rows_and_passes_over_everything():
    order = data.order(6, 6, 2, seed=3)
    assert sorted(order[:3].ravel()) == sorted(order[3:].ravel()) == list(range(6))
    assert (order == data.order(6, 6, 2, seed=3)).all()
    assert (order != data.order(6, 6, 2, seed=4)).any()


def test_texts_are_read_alike_and_cut_for_truncated_rows(tmp_path):
    documents = {
        f"{word}{number}": {"text": f"the {word} of words {word} " * 30, "label": word[0]}
        for word in ("ape", "bee", "cat")
        for number in range(10)
    }
    (tmp_path / "brown.json").write_text(json.dumps(documents))  # as if they had been fetched
    found = data.load("brown_genre", TEXTS, tmp_path)
    assert found.num_classes == 3
    assert sorted(found.labels["validation"]) == [0, 1, 2]
    words = [text.split()[1] for text in found.texts["test"]]
    assert found.labels["test"].tolist() == ["abc".index(word[0]) for word in words]
    assert found.token_ids["train"].shape == (21, 64)
    assert (found.token_ids["train"][:, -1] > 0).all(), "longer than what is read"
    whole, short = found.texts["test"][0], data.excerpts(found, 16)["test"][0]
    assert whole.startswith(short.split()[0])
    assert len(short.split()) < len(whole.split()) / 2
    settings = {**SETTINGS, "datasets": {"brown_genre": TEXTS}}
    for row in (TFIDF, TFIDF_TRUNCATED):
        assert training.train("brown_genre", row, 0, settings, tmp_path)["accuracy"] == 1.0
