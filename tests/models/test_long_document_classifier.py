"""LongDocumentClassifier: what it is made of, that it learns, and what it answers."""

import math

import keras
import numpy as np
import pytest

from keras_combiner import LongDocumentClassifier
from keras_combiner.datasets import read_documents, write_jsonl
from keras_combiner.models import CombinerBackbone
from keras_combiner.text import ByteTokenizer, WordPieceTokenizer
from tests.models.weather_and_tales import (
    LABELS,
    MANY_LABELS,
    MANY_TEXTS,
    TEXTS,
    make,
    token_ids,
)


@pytest.fixture(scope="module")
def trained():
    """Has learnt the texts. Tests must not change it."""
    keras.utils.set_random_seed(1)
    model = make(vocabulary_size=60)
    model.history_of_the_test = model.fit(
        MANY_TEXTS, MANY_LABELS, epochs=30, batch_size=8, verbose=0
    )
    return model


# Building


def test_from_texts_learns_a_vocabulary_and_the_labels(trained):
    assert isinstance(trained.tokenizer, WordPieceTokenizer)
    assert trained.labels == ["tale", "weather"]
    assert trained.tokenizer.vocabulary_size <= 60
    assert trained.backbone.arguments["vocabulary_size"] == trained.tokenizer.vocabulary_size
    assert trained.sequence_length == 24
    assert trained.backbone.arguments["block_size"] == 4
    assert trained.output_shape == (None, 2)


def test_from_texts_with_bytes(classifier):
    assert isinstance(classifier.tokenizer, ByteTokenizer)
    assert classifier.backbone.arguments["vocabulary_size"] == 259


def test_from_texts_with_a_tokenizer_object():
    tokenizer = ByteTokenizer()
    assert make(tokenizer=tokenizer).tokenizer is tokenizer


def test_labels_may_be_numbers(eager):
    model = make(labels=[3, 10, 3, 10], tokenizer="bytes")
    assert model.labels == ["10", "3"]
    model.fit(TEXTS, [3, 10, 3, 10], verbose=0)
    assert model.classify(TEXTS[:1])[0]["label"] in ("10", "3")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": ["a"] * 4}, "at least two different names.*'a'"),
        ({"labels": []}, "Received: 4 texts, 0 labels"),
        ({"tokenizer": "characters"}, "must be 'wordpiece', 'bytes' or.*'characters'"),
        ({"size": "huge"}, "`size` must be one of"),
        ({"block_size": 0}, "`block_size` must be an int"),
        ({"summary": "median"}, "`summary` must be one of"),
    ],
)
def test_from_texts_refuses(options, words):
    with pytest.raises(ValueError, match=words):
        make(**{"tokenizer": "bytes", **options})


def test_constructor_refuses():
    backbone = CombinerBackbone(100, 24, 1, 2, 16, 16)
    with pytest.raises(ValueError, match=r"259 token ids.*only 100.*vocabulary_size=259"):
        LongDocumentClassifier(backbone, ByteTokenizer(), ["a", "b"])
    backbone = CombinerBackbone(259, 24, 1, 2, 16, 16)
    for labels in (["a"], ["a", "b", "a"], ["1", 1]):
        with pytest.raises(ValueError, match="`labels` must be at least two different names"):
            LongDocumentClassifier(backbone, ByteTokenizer(), labels)


def test_unknown_arguments():
    with pytest.raises(TypeError, match=r"CombinerBackbone got arguments.*have: block_sise"):
        make(tokenizer="bytes", block_sise=8)
    backbone = CombinerBackbone(259, 24, 1, 2, 8, 8)
    with pytest.raises(TypeError, match=r"LongDocumentClassifier got arguments.*have: foo"):
        LongDocumentClassifier(backbone, ByteTokenizer(), LABELS[:2], foo=1)
    with pytest.raises(TypeError, match="`backbone` must be a CombinerBackbone"):
        LongDocumentClassifier("tiny", ByteTokenizer(), LABELS[:2])


# Using


def test_learns(trained):
    history = trained.history_of_the_test.history
    assert len(history["loss"]) == 30
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    results = trained.evaluate(TEXTS, LABELS, verbose=0, return_dict=True)
    assert set(results) == {"loss", "accuracy"}
    assert results["accuracy"] == 1.0
    assert [x["label"] for x in trained.classify(TEXTS)] == LABELS


def test_predictions_keep_the_order_of_the_texts(eager, classifier):
    texts = [f"{'word ' * (i % 7)}number {i}" for i in range(11)]
    together = classifier.predict(texts, batch_size=4, verbose=0)
    assert together.shape == (11, 2)
    assert len(np.unique(together[:, 0])) > 5
    for text, row in zip(texts, together, strict=True):
        alone = classifier.predict([text], verbose=0)[0]
        np.testing.assert_allclose(alone, row, atol=1e-5)


def test_every_kind_of_input_gives_the_same(classifier, tmp_path):
    expected = classifier.predict(TEXTS, verbose=0)
    np.testing.assert_allclose(expected.sum(-1), 1, atol=1e-6)
    write_jsonl(tmp_path / "x.jsonl", [(text, None) for text in TEXTS])
    reader = read_documents(tmp_path / "x.jsonl", require_labels=False)
    inputs = {
        "tuple": tuple(TEXTS),
        "bytes": [text.encode() for text in TEXTS],
        "numpy str": np.array(TEXTS),
        "numpy object": np.array(TEXTS, object),
        "numpy bytes": np.array([text.encode() for text in TEXTS]),
        "reader": reader,
        "token ids": token_ids(classifier, TEXTS),
        "token ids, more padding": token_ids(classifier, TEXTS)[:, :25],
    }
    for name, x in inputs.items():
        received = classifier.predict(x, verbose=0)
        np.testing.assert_allclose(received, expected, atol=1e-5, err_msg=name)


def test_evaluates_token_ids(trained):
    labels = np.array([trained.labels.index(label) for label in LABELS])
    received = trained.evaluate(token_ids(trained, TEXTS), labels, verbose=0, return_dict=True)
    expected = trained.evaluate(TEXTS, LABELS, verbose=0, return_dict=True)
    assert received == pytest.approx(expected, rel=1e-4)


def test_evaluates_without_having_been_compiled(eager):
    results = make(tokenizer="bytes").evaluate(TEXTS, LABELS, verbose=0, return_dict=True)
    assert results["loss"] == pytest.approx(math.log(2), abs=0.5)


def test_no_texts_no_predictions(classifier):
    assert classifier.predict([], verbose=0).shape == (0, 2)
    assert classifier.classify([]) == []


def test_classify(classifier):
    # 24 ids: a start, 22 bytes, an end.
    texts = ["", "x" * 21, "x" * 22, "x" * 23, "x" * 5000, "\udcff", "naïve"]
    results = classifier.classify(texts)
    assert [x["tokens"] for x in results] == [2, 23, 24, 24, 24, results[5]["tokens"], 8]
    assert [x["truncated"] for x in results] == [False, False, False, True, True, False, False]
    probabilities = classifier.predict(texts, verbose=0)
    for result, row in zip(results, probabilities, strict=True):
        assert set(result) == {"label", "probabilities", "tokens", "truncated"}
        assert result["label"] == classifier.labels[int(row.argmax())]
        shares = list(result["probabilities"].values())
        assert shares == sorted(shares, reverse=True)
        assert next(iter(result["probabilities"])) == result["label"]
        assert all(type(x) is float for x in shares)
        assert result["probabilities"] == pytest.approx(
            dict(zip(classifier.labels, row.tolist(), strict=True)), abs=1e-5
        )
        assert type(result["tokens"]) is int


def test_lone_surrogates_are_read_as_the_tokenizer_reads_them(classifier):
    # UTF-8 cannot hold them. What is counted must be what was read.
    texts = ["\udcff" * 3]
    ids = token_ids(classifier, texts)
    assert classifier.classify(texts)[0]["tokens"] == np.count_nonzero(ids)
    received, expected = (classifier.predict(x, verbose=0) for x in (texts, ids))
    np.testing.assert_allclose(received, expected, atol=1e-6)


def test_texts_that_differ_beyond_the_cut_are_the_same(classifier):
    first, second = classifier.predict(["x" * 22 + "abc", "x" * 22 + "def ghi"], verbose=0)
    np.testing.assert_array_equal(first, second)


def test_a_single_string_is_refused_rather_than_read_letter_by_letter(classifier):
    with pytest.raises((TypeError, ValueError), match=r"list|single"):
        classifier.classify("it will rain")


def test_a_single_string_is_refused_everywhere(classifier):
    for call in (classifier.predict, lambda x: classifier.fit(x, "tale")):
        with pytest.raises(ValueError, match="Wrap it in a list"):
            call("it will rain")


@pytest.mark.parametrize("texts", [[None], [3], [["a", "b"]], ["rain", 3]])
def test_what_is_not_text_is_named_with_its_position(classifier, texts):
    with pytest.raises(TypeError, match="Expected texts to be str or bytes"):
        classifier.classify(texts)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"size": "huge"}, "`size` must be one of"),
        ({"sequence_length": 2}, "`sequence_length` must be at least 3"),
        ({"labels": ["one"] * len(TEXTS)}, "at least two different names"),
    ],
)
def test_what_cannot_work_shows_before_a_vocabulary_is_learned(options, words):
    class NeverRead:
        def __iter__(self):
            raise AssertionError("the texts were read")

    arguments = {"labels": LABELS, **options}
    with pytest.raises(ValueError, match=words):
        LongDocumentClassifier.from_texts(NeverRead(), **arguments)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "junk.keras").write_text("hi")
    with pytest.raises(ValueError, match=r"is not a \.keras file"):
        LongDocumentClassifier.load(tmp_path / "junk.keras")


@pytest.mark.parametrize("folder", [pytest.param(False, marks=pytest.mark.slow), True])
def test_save_and_load(trained, folder, tmp_path):
    path = tmp_path / "deep" / "model.keras"
    trained.save(str(path) if folder else path)
    assert [x.name for x in path.parent.iterdir()] == ["model.keras"]
    loaded = LongDocumentClassifier.load(path.parent if folder else path)
    assert loaded.labels == trained.labels
    assert type(loaded.labels[0]) is str
    assert loaded.tokenizer.get_config() == trained.tokenizer.get_config()
    assert loaded.sequence_length == trained.sequence_length
    texts = [*TEXTS, "", "something else entirely"]
    for one, other in zip(loaded.weights, trained.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    # Sums are ordered by where in memory the numbers lie.
    np.testing.assert_allclose(
        loaded.predict(texts, verbose=0), trained.predict(texts, verbose=0), atol=1e-6
    )
    for one, other in zip(loaded.classify(texts), trained.classify(texts), strict=True):
        assert one.pop("probabilities") == pytest.approx(other.pop("probabilities"), abs=1e-6)
        assert one == other
    same = keras.saving.load_model(path)
    assert type(same) is LongDocumentClassifier
