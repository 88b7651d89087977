"""Texts that a vocabulary does not know: a warning, or, for training, a refusal."""

import json
import warnings

import numpy as np
import pytest

from keras_combiner import CombinerMaskedLM, LongDocumentClassifier
from keras_combiner.batches.document_encoder import DocumentEncoder
from keras_combiner.batches.documents import Documents
from keras_combiner.batches.encoded_documents import EncodedDocuments
from keras_combiner.cli.main import main
from keras_combiner.data_warning import DataWarning
from keras_combiner.models import CombinerBackbone
from keras_combiner.text import WordPieceTokenizer, learn_wordpiece_vocabulary
from keras_combiner.text.unknown_tokens import UnknownTokensWarning, check_unknown_tokens

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abc", *(f"##{x}" for x in "abc")]
LABELS = ["x", "y"] * 4
UNREADABLE = {
    "thai": "สวัสดีชาวโลกและยินดีต้อนรับทุกท่านสู่เอกสารฉบับนี้" * 3,
    "khmer": "សូមស្វាគមន៍មកកាន់ឯកសារនេះសម្រាប់អ្នកទាំងអស់គ្នា" * 3,
    "kana": "カタカナモマタナガイコトガアル" * 5,
    "emoji": "👩\u200d👩\u200d👧" * 40,
    "a long word": "a" * 101,
}


def make(kind=LongDocumentClassifier, long_texts="truncate"):
    backbone = CombinerBackbone(
        vocabulary_size=len(VOCABULARY),
        sequence_length=16,
        num_layers=1,
        num_heads=1,
        hidden_dim=8,
        intermediate_dim=8,
        block_size=8,
    )
    tokenizer = WordPieceTokenizer(VOCABULARY)
    if kind is CombinerMaskedLM:
        return kind(backbone, tokenizer, long_texts=long_texts)
    return kind(backbone, tokenizer, ["x", "y"], long_texts=long_texts)


@pytest.fixture(scope="module")
def classifier():
    return make()


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_vocabulary_that_knows_nothing_is_refused(name):
    words = r'\[UNK\].* more than 100 bytes.* Take tokenizer="bytes", or .*\(vocabulary_size=\.\.\.'
    with pytest.warns(UnknownTokensWarning, match=words):
        learn_wordpiece_vocabulary([UNREADABLE[name]], 200, verbose=False)
    with pytest.raises(ValueError, match=words):
        LongDocumentClassifier.from_texts([UNREADABLE[name]] * 2, ["x", "y"], verbose=False)
    model = LongDocumentClassifier.from_texts(
        [UNREADABLE[name]] * 2, ["x", "y"], sequence_length=16, tokenizer="bytes"
    )
    documents = Documents([UNREADABLE[name]] * 2, ["x", "y"])
    model._batches(documents, 2, order="shuffled")  # all is known


def test_a_vocabulary_that_lacks_some_words_is_warned_of(capsys):
    texts = ["aa bb cc ab ba ac ca bc cb abc"] * 9 + [UNREADABLE["a long word"] + " a" * 8] * 9
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        learn_wordpiece_vocabulary(texts, 200)
        known = learn_wordpiece_vocabulary(texts[:9], 200)
    (warning,) = caught
    assert warning.category is UnknownTokensWarning
    first, second = (x for x in capsys.readouterr().out.splitlines() if x.startswith("Learned"))
    share = first.split(" s; ")[1].split("%")[0]
    assert 5 < float(share) < 10 and str(warning.message).startswith(f"{float(share):.0f}% of the")
    assert second.endswith(" s; 0.0% of their tokens are unknown.") and "a" in known


@pytest.mark.parametrize("long_texts", ["truncate", "windows"])
def test_what_is_read_is_counted(long_texts):
    texts = ["z a b", "", "a " * 30 + "z " * 10, "z z"]
    encoder = DocumentEncoder(WordPieceTokenizer(VOCABULARY), 16, long_texts)
    documents = EncodedDocuments(Documents(texts), encoder)
    if long_texts == "truncate":
        assert documents.unknown.tolist() == [1, 0, 0, 2]
        assert documents.unknown_share == 3 / (3 + 14 + 2)
    else:
        examples = [x[0] for x in documents.examples()]
        sizes = sum(len(x) - 2 for x in examples)
        unknown = sum(int((x == 1).sum()) for x in examples)
        assert documents.unknown_share == unknown / sizes > 0.2
        assert documents.unknown[[0, 1, 3]].tolist() == [1, 0, 2]


def test_training_is_refused_above_one_half_and_warned_of_above_a_twentieth(classifier):
    texts = ["a b c a b c a b c z"] * 8
    validation = (["a a a a a a a z"], ["x"])
    with pytest.warns(UnknownTokensWarning) as caught:
        classifier.fit(texts, LABELS, validation_data=validation, verbose=0)
    assert [str(x.message)[:22] for x in caught] == [
        "10% of the tokens are ",
        "12% of the tokens are ",
    ]
    for model, labels in ((classifier, [LABELS]), (make(CombinerMaskedLM), [])):
        for shuffle in (True, False):
            with pytest.raises(ValueError, match=r"^67% of the tokens are \[UNK\]"):
                model.fit(["z a z"] * 8, *labels, shuffle=shuffle, verbose=0)
        with pytest.warns(UnknownTokensWarning, match="^67% "):  # in any order, not a training
            model._batches(Documents(["z a z"] * 8, *labels), 8, order="shuffled")


def test_the_share_is_said_where_training_begins(classifier, capsys):
    texts = ["a " * 99 + "z"] * 8
    batches = make(long_texts="windows")._batches(Documents(texts, LABELS), 4, order="shuffled")
    assert "tokens (0.8% unknown); 8 longer" in str(batches)
    assert 0.005 < batches.summary()["unknown_share"] < 0.05
    assert classifier._batches(Documents(["a"], ["x"]), 4).summary()["unknown_share"] == 0


def test_answers_about_unknown_texts_are_warned_of(eager, classifier):
    with pytest.warns(UnknownTokensWarning, match=r"^100% of the tokens") as caught:
        classifier.classify([UNREADABLE["thai"]])
    assert caught[0].message.documents == [0]
    known = ["a b c " * 4] * 30
    with pytest.warns(UnknownTokensWarning, match="in 1 of 31 documents, the first .* document 30"):
        classifier.predict([*known, "z"], verbose=0)
    with pytest.warns(UnknownTokensWarning, match=r"^50% "):
        classifier.evaluate(["a z"], ["x"], verbose=0)
    classifier.classify([*known, ""])
    classifier.evaluate([*known, "z"], ["x"] * 31, verbose=0)  # a share of one document in many


def test_thresholds():
    def said(num_unknown, most):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            check_unknown_tokens(np.array([num_unknown]), np.array([100]), most)
        return len(caught)

    assert [said(x, 0.5) for x in (0, 5, 6, 50)] == [0, 0, 1, 1]
    assert [said(x, 1.0) for x in (5, 51, 100)] == [0, 1, 1]
    with pytest.raises(ValueError, match="51%"):
        said(51, 0.5)
    assert issubclass(UnknownTokensWarning, DataWarning)


def test_predicting_says_what_it_found(eager, classifier):
    texts = ["a b z", "a " * 20, "c"]
    with pytest.warns(UnknownTokensWarning):
        outputs, found = classifier.predict_with_summary(texts, batch_size=2, verbose=0)
        np.testing.assert_array_equal(outputs, classifier.predict(texts, batch_size=2, verbose=0))
    assert found == classifier._batches(Documents(texts), 2, with_targets=False).summary()
    assert (found["documents"], found["longer_than_sequence_length"]) == (3, 1)
    assert found["unknown_share"] == 1 / (3 + 14 + 1)


def test_on_the_command_line(classifier, tmp_path, capsys, monkeypatch):
    model, data = str(tmp_path / "model.keras"), tmp_path / "thai.jsonl"
    classifier.save(model)
    texts = [UNREADABLE["thai"], "a b"]
    data.write_text(
        "".join(json.dumps({"text": x, "label": "xy"[i]}) + "\n" for i, x in enumerate(texts))
    )
    for i, text in enumerate(texts):
        (tmp_path / f"{i}.txt").write_text(text, encoding="utf-8")
    names = [str(tmp_path / f"{i}.txt") for i in range(2)]
    assert main(["predict", "--model", model, *names]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"keras-combiner: warning: {names[0]}: 33% of the tokens are [UNK], ")
    assert "Take --tokenizer bytes, or " in line and line.endswith("(--vocabulary-size).")
    surveys, survey = [], EncodedDocuments.__init__
    monkeypatch.setattr(
        EncodedDocuments, "__init__", lambda *a, **k: surveys.append(1) or survey(*a, **k)
    )
    assert main(["evaluate", "--model", model, "--data", str(data)]) == 0
    assert len(surveys) == 1  # texts are made into ids in it
    said = capsys.readouterr()
    assert "\nunknown tokens     33.33%" in said.out
    assert said.err.count("keras-combiner: warning: 33% of the tokens") == 1
    data.write_text("".join(json.dumps({"text": texts[0], "label": x}) + "\n" for x in "xyxy"))
    output = str(tmp_path / "run")
    options = ["--validation-split", "0", "--sequence-length", "16"]
    assert main(["train", "--data", str(data), "--output", output, *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("keras-combiner: error: 100% of the tokens are [UNK]")
