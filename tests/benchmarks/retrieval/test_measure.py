"""What is measured is what the page says: halves, their beginnings, and who finds whom."""

import numpy as np
import pytest

from benchmarks.retrieval import measure, page
from keras_combiner.text import ByteTokenizer


def test_halves_have_all_words_once():
    text = " one two  three\nfour five "
    first, second = measure.halves(text)
    assert (first, second) == ("one two", "three\nfour five")
    with pytest.raises(ValueError, match="at least two words"):
        measure.halves("one")


def test_beginnings_have_so_many_tokens():
    tokenizer = ByteTokenizer()
    texts = ["abcdefgh", "é" * 5, "ab"]
    received = measure.cut(texts, tokenizer, 7)
    assert received == ["abcde", "éé", "ab"]
    assert tokenizer.encode(received, 7).row_lengths().numpy().max() == 7


def test_recall_by_hand():
    similarity = np.array([[0.9, 0.1, 0.2], [0.8, 0.7, 0.9], [0.1, 0.5, 0.5]])
    # The third query's own candidate ties with another, and is second.
    assert measure.recall(similarity, 1) == pytest.approx(1 / 3)
    assert measure.recall(similarity, 2) == pytest.approx(2 / 3)
    assert measure.recall(similarity, 3) == 1


def test_tfidf_finds_the_half_with_the_same_rare_words():
    texts = ["the zebra of the king", "the wind and the rain", "a zebra", "the rain"]
    vectors = measure._tfidf(texts)(texts)
    assert measure.recall(vectors[:2] @ vectors[2:].T, 1) == 1
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-6)


def test_the_table():
    found = {"documents": 3, "recall": {"1": 0.5, "10": 0.75}, "seconds": 0.02}
    figures = {
        "settings": measure.SETTINGS,
        "rows": {x: {y: {"512": found, "2048": found} for y in measure.DATA_SETS} for x in "ab"},
    }
    lines = page.tables(figures)["recall"]
    assert lines[0].startswith("| MiniLM | State of the Union, 512: @1 | State of the Union, 512:")
    assert lines[2] == "| a | 0.500 | 0.750 " + "| 0.500 | 0.750 " * 3 + "| 20 | 20 |"
    assert len(lines) == 4
