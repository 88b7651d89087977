"""A .tflite file that takes text gives what the model gives, by the same token ids."""

# ruff: noqa: RUF001

import io
import runpy
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.datasets import load_sotu_era
from keras_combiner.export import export_litert, litert, run_litert, runners
from keras_combiner.export.tflite_editors.tokenizer import convert_tokenizer
from keras_combiner.text import ByteTokenizer, Tokenizer, WordPieceTokenizer
from keras_combiner.text.tokenizer import as_bytes

ROOT = Path(__file__).parents[2]
VOCABULARY = ROOT / "saved_models" / "sotu_era" / "vocab.txt"
LENGTH = 300

HARD_TEXTS = [
    b"",
    b" \n\t ",
    b"\x00",
    b"war\x00peace\x00\x00",
    "War and PEACE, naïve Ünïon’s — “quoted” ½ ﬁne ＡＢＣ ﷺ".encode(),
    "Государство и народ. Η Ένωσις των Πολιτειών. דולה שלום. السلام عليكم".encode(),
    "聯邦的現狀 韓國 대한민국 ありがとう हिन्दी ไทย".encode(),
    "\U0001f327\U0001f468\u200d\U0001f469 e\u0301 \u00ad\u200bsoft\u00adhyphen".encode(),
    "\ufeff \ufffd peace\ufffdwar".encode(),
    b"peace \xff\xfe war",
    b"pe\xfface \xffwar peace\xff, \xff",
    b"\xc3",
    b"\xe2\x80",
    b"\xe2\x80war \xe2war",
    b"\xed\xa0\x80 \xf4\x90\x80\x80 \xc0\xaf \xf8\x88\x80\x80\x80",
    b"[CLS] [PAD] [UNK] ##ing",
    b"a" * 100 + b" " + b"a" * 101,
    b"peace " * 4000,
]


def tokenizers():
    return {
        "lower-casing": WordPieceTokenizer(VOCABULARY),
        "cased": WordPieceTokenizer(VOCABULARY, lowercase=False),
        "bytes": ByteTokenizer(),
    }


@pytest.fixture(scope="module")
def in_litert():
    """Name of a tokenizer -> the tokenizer, and a function of bytes to the outputs in LiteRT."""
    make_interpreter = runners.import_litert("text")
    pairs = {}
    for name, tokenizer in tokenizers().items():
        interpreter = make_interpreter(model_content=convert_tokenizer(tokenizer, LENGTH))
        runner = interpreter.get_signature_runner("serving_default")
        # The default arguments bind this round's, and keep the interpreter alive.
        pairs[name] = (
            tokenizer,
            lambda text, run=runner, _=interpreter: run(text=np.array([text], dtype=object)),
        )
    return pairs


def assert_same_ids(pair, texts):
    tokenizer, run = pair
    expected = tokenizer(texts, LENGTH).numpy()
    counts = tokenizer.encode(texts, 10**6).row_lengths().numpy()
    for text, row, count in zip(texts, expected, counts, strict=True):
        outputs = run(as_bytes(text, 0))
        assert outputs["token_ids"].dtype == outputs["num_tokens"].dtype == np.int32
        assert outputs["token_ids"].tolist() == [row.tolist()], repr(text)
        assert outputs["num_tokens"].tolist() == [count]


every_tokenizer = pytest.mark.parametrize("name", tokenizers())


@every_tokenizer
def test_hard_texts_get_the_same_ids(in_litert, name):
    assert_same_ids(in_litert[name], HARD_TEXTS)


@every_tokenizer
def test_real_documents_get_the_same_ids(in_litert, name):
    assert_same_ids(in_litert[name], [x.text for x in load_sotu_era("test")])


@every_tokenizer
@given(texts=st.lists(st.one_of(st.binary(max_size=40), st.text(max_size=40)), max_size=8))
def test_random_texts_get_the_same_ids(in_litert, name, texts):
    if texts:
        assert_same_ids(in_litert[name], texts)


@pytest.mark.parametrize("name", ["lower-casing", "cased"])
def test_every_code_point_and_every_pair_of_bytes(in_litert, name):
    # In long texts, as single calls would take minutes; around each a word that shows a joint.
    tokenizer, run = in_litert[name]
    code_points = [chr(x) for x in [*range(0xD800), *range(0xE000, 0x33500, 3)]]
    pairs = [bytes([a, b]) for a in range(256) for b in range(256)]
    words = [b"war" + as_bytes(x, 0) + b"war" for x in (*code_points, *pairs)]
    texts = [b" ".join(words[i : i + 40]) for i in range(0, len(words), 40)]
    expected = tokenizer(texts, LENGTH).numpy()
    for text, row in zip(texts, expected, strict=True):
        assert np.array_equal(run(text)["token_ids"][0], row), text


@pytest.fixture(scope="module")
def exported(classifier, documents, tmp_path_factory):
    """Quantization -> (path, report). Tests must not change them."""
    folder = tmp_path_factory.mktemp("text")
    results = {}
    for quantization in ("float32", "dynamic_int8"):
        path = folder / quantization / "model.tflite"
        report = export_litert(
            classifier, path, quantization=quantization, input_type="text", documents=documents
        )
        results[quantization] = path, report
    return results


def test_gives_the_models_probabilities(exported, classifier):
    texts = HARD_TEXTS[:-1]
    expected = classifier.predict(texts, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.1
    path, report = exported["float32"]
    received, seconds = run_litert(path, texts)
    np.testing.assert_allclose(received, expected, atol=1e-4)
    assert len(seconds) == len(texts)
    assert report.agreement == 1.0 and report.largest_difference < 1e-4
    assert report.size == path.stat().st_size
    assert [x.name for x in path.parent.iterdir()] == ["model.tflite"]


def test_quantization_is_that_of_the_file_that_takes_ids(
    exported, litert_file, classifier, documents
):
    token_ids = classifier.tokenizer(documents, 40).numpy()
    expected, _ = run_litert(litert_file("dynamic_int8")[0], token_ids)
    received, _ = run_litert(exported["dynamic_int8"][0], documents)
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_signature(exported):
    interpreter = runners.import_litert("text")(model_path=str(exported["float32"][0]))
    assert interpreter.get_signature_list() == {
        "serving_default": {
            "inputs": ["text"],
            "outputs": ["num_tokens", "probabilities", "token_ids"],
        }
    }
    interpreter.allocate_tensors()
    names = {x["op_name"] for x in interpreter._get_ops_details()}
    assert not [x for x in names if x.startswith("Flex")]
    # The dynamic shapes of the tokenizer do not keep XNNPACK from the model behind it.
    assert "DELEGATE" in names
    assert {"FastBertNormalize", "FastWordpieceTokenizeWithOffsets"} <= names


@pytest.mark.slow  # of bytes, the tokenizer alone is converted in the quick ones
def test_bytes_give_the_models_probabilities(byte_classifier, documents, tmp_path):
    report = byte_classifier.export_litert(
        tmp_path / "a.tflite", input_type="text", documents=documents, verbose=False
    )
    assert report.largest_difference < 1e-4


@pytest.mark.slow
def test_measures_when_asked(classifier, documents, tmp_path):
    report = export_litert(
        classifier, tmp_path / "a.tflite", input_type="text", documents=documents, measure=True
    )
    assert report.milliseconds_1_thread > 0 and report.milliseconds_2_threads > 0
    if sys.platform == "linux":
        assert report.peak_memory > 0


def test_refuses_a_vocabulary_with_the_replacement_character(
    byte_classifier, tmp_path, monkeypatch
):
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##\ufffd"]
    monkeypatch.setattr(byte_classifier, "tokenizer", WordPieceTokenizer(vocabulary))
    monkeypatch.setattr(litert, "_convert", lambda *_: b"not converted, to be quick")
    with pytest.raises(ValueError, match=r"U\+FFFD, which this vocabulary holds"):
        export_litert(byte_classifier, tmp_path / "a.tflite", input_type="text", documents=["a"])
    assert not list(tmp_path.iterdir())


class WithoutForm(ByteTokenizer):
    _tokenize_in_litert = Tokenizer._tokenize_in_litert


class WithOtherIds(ByteTokenizer):
    def _tokenize_in_litert(self, text):
        return super()._tokenize_in_litert(text) + 1


@pytest.mark.parametrize(
    ("tokenizer", "words"),
    [
        (WithoutForm(), "WithoutForm has no form that runs inside a .tflite file"),
        (WithOtherIds(), "other ids inside the .tflite file for document 1, b'ab'"),
    ],
)
def test_refuses_what_gives_no_or_other_ids(
    tokenizer, words, byte_classifier, tmp_path, monkeypatch
):
    monkeypatch.setattr(byte_classifier, "tokenizer", tokenizer)
    monkeypatch.setattr(litert, "_convert", lambda *_: b"not converted, to be quick")
    with pytest.raises((NotImplementedError, RuntimeError), match=words):
        byte_classifier.export_litert(
            tmp_path / "a.tflite", input_type="text", documents=["", "ab"]
        )
    assert not list(tmp_path.iterdir())


def test_missing_tensorflow_text_names_the_extra(byte_classifier, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_combiner\[text\]'"):
        export_litert(byte_classifier, tmp_path / "a.tflite", input_type="text", documents=["a"])
    assert not list(tmp_path.iterdir())


@pytest.fixture
def run_example(monkeypatch, capsys):
    """Runs the example on a document, and returns its exit code and what it printed."""
    file = ROOT / "examples" / "on_device" / "classify_text.py"
    main = runpy.run_path(str(file))["main"]

    def run(*arguments, document=b""):
        stdin = types.SimpleNamespace(buffer=io.BytesIO(document))
        monkeypatch.setattr(sys, "stdin", stdin)
        return main([*map(str, arguments), "-"]), *capsys.readouterr()

    return run


def test_the_example_classifies(run_example, exported, classifier, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{x}\n" for x in classifier.labels), encoding="utf-8")
    model = exported["float32"][0]
    code, printed, error = run_example(
        "--model", model, "--labels", labels, document=b"rain " * 200
    )
    assert code == 0, error
    lines = printed.splitlines()
    (expected,) = classifier.classify(["rain " * 200])
    shown = {x.split()[0]: float(x.split()[1]) for x in lines[:3]}
    assert shown == pytest.approx(expected["probabilities"], abs=1e-4)
    assert next(iter(shown)) == expected["label"]
    assert lines[3] == "tokens: 202 (cut to 40)"


def test_the_example_says_what_is_wrong(run_example, exported, classifier, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("one\n")
    code, _, error = run_example("--model", exported["float32"][0], "--labels", labels)
    assert code == 1
    assert "labels.txt has 1 labels, but the model gives 3" in error
    labels.write_text("".join(f"{x}\n" for x in reversed(classifier.labels)), encoding="utf-8")
    code, _, error = run_example("--model", exported["float32"][0], "--labels", labels)
    assert code == 1
    assert "does not hold the model's labels in their order: label 1 is" in error
    other = ROOT / "saved_models/sotu_era/model.tflite"
    code, _, error = run_example("--model", other, "--labels", labels)
    assert code == 1
    assert "does not take text. Export it with input_type='text'." in error
    code, _, error = run_example("--model", labels, "--labels", labels)
    assert code == 1
    assert "labels.txt cannot be run as a .tflite model" in error
