"""The tokenizer without TensorFlow gives the ids of the one in the graph."""

import io
import subprocess
import sys
import time
import types
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_combiner.export.tflite_editors.metadata import add_metadata, tokenizer_of
from keras_combiner.text import BertTokenizer, ByteTokenizer, WordPieceTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
LENGTH = 64


@pytest.fixture(scope="module")
def pair(vocabulary, tokenizer, on_device_wordpiece, tmp_path_factory):
    """Both tokenizers, lower-casing and not, on one vocabulary."""
    path = tmp_path_factory.mktemp("pair") / "vocab.txt"
    # Beside learnt pieces: things that never match, and characters that normalization makes.
    odd = ["...", "##.", "é", "##\u0301", "\ufffd", "##\ufffd", "A", "##B", "ss", "漢", "##漢"]
    odd += ["\u03b1", "##\u03c3", "\u1100", "##\u1161", "u.s", "##S", "\u0131", "क", "##\u093f"]
    vocabulary = [*vocabulary, *(token for token in odd if token not in vocabulary)]
    WordPieceTokenizer(vocabulary).save_vocabulary(path)
    return {
        lowercase: (
            WordPieceTokenizer(path, lowercase),
            on_device_wordpiece.WordPiece(path, lowercase),
        )
        for lowercase in (True, False)
    }


def assert_equal(pair, texts, sequence_length=LENGTH):
    for in_graph, on_device in pair.values():
        expected = in_graph(texts, sequence_length).numpy()
        rows = [on_device.encode(text, sequence_length) for text in texts]
        assert all(row.dtype == np.int32 for row in rows)
        for text, row, expected_row in zip(texts, rows, expected, strict=True):
            assert row.tolist() == expected_row.tolist(), repr(text)


@pytest.mark.parametrize("lowercase", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_every_code_point(lowercase, on_device_wordpiece, tmp_path):
    # "a" + character + "b" tells what the character does: vanish (ab), separate (a b), stand alone
    # (a [UNK] b), become part of the word ([UNK]) or turn into letters of the vocabulary.
    path = tmp_path / "vocab.txt"
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.", "\u1100", "\u03b1", "\u03c9"]
    joined = ["##" + letter for letter in letters if letter != "."]
    path.write_text("\n".join([*SPECIALS, *letters, *joined]), encoding="utf-8")
    on_device = on_device_wordpiece.WordPiece(path, lowercase)
    in_graph = WordPieceTokenizer(path, lowercase)
    # All code points that Unicode has assigned, and a sample of the empty and private planes.
    code_points = [*range(0xD800), *range(0xE000, 0x33500), *range(0xE0000, 0xE1000)]
    code_points += range(0x33500, 0x110000, 101)
    texts = [f"a{chr(code_point)}b" for code_point in code_points]
    ids = in_graph(texts, 24).numpy()
    # By bytes, since a list of lists of a million rows takes its time.
    different = [
        code_point
        for code_point, text, row in zip(code_points, texts, ids, strict=True)
        if on_device.encode(text, 24).tobytes() != row.tobytes()
    ]
    # Where this Python's Unicode is older than tensorflow-text's, the difference is in characters
    # that it does not know; nowhere else.
    assert {unicodedata.category(chr(each)) for each in different} <= {"Cn"}
    assert len(different) <= (223 if lowercase else 43)  # What the module docstring says.
    # The comparison itself tells apart what these characters do ($ and , both are [UNK]).
    rows = {chr(c): row for c, row in zip(code_points[:0x3000], ids[:0x3000], strict=True)}
    assert len({rows[character].tobytes() for character in " $\u00e9x,."}) == 5


@pytest.mark.parametrize(
    ("lowercase", "strip_accents"),
    [
        pytest.param(True, None, marks=pytest.mark.slow),
        pytest.param(True, False, marks=pytest.mark.slow),
        (False, True),
    ],
)
def test_every_code_point_as_bert(lowercase, strip_accents, on_device_wordpiece, tmp_path):
    letters = [
        *"abcdefghijklmnopqrstuvwxyzAE0123456789.½…²ﬁ™éßσςΣİ漢",
        "\u0301",
        "\u0307",
        "\u1100",
    ]
    vocabulary = [*SPECIALS, *letters, *(f"##{x}" for x in letters)]
    in_graph = BertTokenizer(vocabulary, lowercase, strip_accents)
    in_graph.save_vocabulary(tmp_path / "vocab.txt")
    on_device = on_device_wordpiece.WordPiece(
        tmp_path / "vocab.txt", lowercase, "bert", strip_accents
    )
    known = [
        f"a{chr(c)}b"
        for c in [*range(0xD800), *range(0xE000, 0x33500), *range(0xE0000, 0xE1000)]
        if unicodedata.category(chr(c)) != "Cn"
    ]
    texts = [" ".join(known[i : i + 2000]) for i in range(0, len(known), 2000)]
    texts += ["", "\ud800x \udfff", "ΟΔΟΣ Σας naïve", f"{'a' * 100} {'a' * 101} {'é' * 51}"]
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    for text, row in zip(texts, in_graph.encode(raw).to_list(), strict=True):
        assert on_device.tokenize(text) == row[1:-1], text[:40]


def known(characters):
    return characters.filter(lambda character: unicodedata.category(character) != "Cn")


# Half of the characters from those that matter: separators, joiners, pieces of the vocabulary.
characters = st.one_of(
    st.sampled_from(
        list("abcdeghinorstuUS.,'#$[] \t\n\0\x1c\x85\xa0éß\u0130\u017f漢한\u0301\u200d\u200b\ufffd")
    ),
    known(st.characters()),
)


@settings(max_examples=3 * settings.default.max_examples)
@given(st.lists(st.text(characters, max_size=60), min_size=1, max_size=8))
def test_random_unicode(pair, texts):
    assert_equal(pair, texts)


@settings(max_examples=2 * settings.default.max_examples)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=8))
def test_random_bytes(pair, texts):
    assert_equal(pair, texts)


@settings(max_examples=2 * settings.default.max_examples)
@given(st.data())
def test_words_of_the_vocabulary(pair, data):
    pieces = st.sampled_from(pair[True][0].vocabulary[4:])
    words = data.draw(st.lists(st.lists(pieces, min_size=1, max_size=5), max_size=10))
    joints = data.draw(st.sampled_from([" ", "", "-", "##"]))
    assert_equal(pair, [joints.join("".join(word).replace("##", "") for word in words)])


@pytest.mark.parametrize(
    "text",
    ["", "a" * 100, "a" * 101, "é" * 50, "é" * 51, "\ud800x", "x\udfff y", "ΟΔΟΣ Σ", "of " * 80],
)
def test_edges(pair, text):
    assert_equal(pair, [text])


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_every_address(pair, addresses, step):
    in_graph, on_device = pair[True]
    addresses = addresses[::step]
    longest = 40_000
    ids = in_graph.encode(addresses, longest).to_list()
    for text, row in zip(addresses, ids, strict=True):
        mine = on_device.encode(text, longest)
        assert mine[: len(row)].tolist() == row
        assert not mine[len(row) :].any()


def test_ten_thousand_words_take_well_under_a_second(pair, addresses):
    words = " ".join(addresses[50].split()[:10_000])
    assert len(words.split()) == 10_000
    _, on_device = pair[True]
    on_device._pieces_of.clear()
    start = time.perf_counter()
    assert len(on_device.tokenize(words)) > 10_000
    assert time.perf_counter() - start < 0.5


def test_the_cache_is_bounded(pair, on_device_wordpiece, monkeypatch):
    _, on_device = pair[True]
    on_device._pieces_of.clear()
    expected = on_device.tokenize("the state of the union")
    on_device._pieces_of.clear()
    monkeypatch.setattr(on_device_wordpiece, "MAX_CACHED_WORDS", 2)
    assert on_device.tokenize("the state of the union") == expected
    assert set(on_device._pieces_of) == {"the", "state"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["[PAD]", "[UNK]", "a"], r"lacks \[CLS\], \[SEP\]"),
        (["a", *SPECIALS], r"\[PAD\] on its first line"),
        ([*SPECIALS, "a", "a"], "'a' twice"),
    ],
)
def test_refuses_other_vocabularies(on_device_wordpiece, tmp_path, lines, words):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=words):
        on_device_wordpiece.WordPiece(path)


def test_refuses_short_lengths(pair):
    with pytest.raises(ValueError, match="at least 3"):
        pair[True][1].encode("a", 2)


# The command line.


def convert(function, *specs):
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [tf.function(function, autograph=False).get_concrete_function(*specs)], tf.Module()
    )
    return converter.convert()


def convert_lengths(folder, lengths):
    module = tf.Module()
    function = tf.function(lambda ids: {"scores": logits(ids)})
    signatures = {
        name: function.get_concrete_function(tf.TensorSpec([1, length], tf.int32, name="ids"))
        for name, length in lengths.items()
    }
    tf.saved_model.save(module, str(folder), signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder), signature_keys=list(signatures)
    )
    return converter.convert()


def logits(ids):
    # "good" is id 4 and "bad" is id 5; "dull" gets what padding and the other tokens leave.
    good = tf.reduce_sum(tf.cast(tf.equal(ids, 4), tf.float32), axis=1)
    bad = tf.reduce_sum(tf.cast(tf.equal(ids, 5), tf.float32), axis=1)
    return tf.stack([bad, good, 0.5 * tf.ones_like(good)], axis=1)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classify")
    ids = tf.TensorSpec([1, 8], tf.int32)
    models = {
        "logits": convert(logits, ids),
        "probabilities": convert(lambda ids: tf.nn.softmax(logits(ids)), ids),
        "large_logits": convert(lambda ids: 1000 * logits(ids), ids),
        "float_input": convert(lambda x: x + 1.0, tf.TensorSpec([1, 8], tf.float32)),
        "batch_of_two": convert(logits, tf.TensorSpec([2, 8], tf.int32)),
        "dynamic": convert(logits, tf.TensorSpec([1, None], tf.int32)),
        "two_inputs": convert(lambda a, b: logits(a + b), ids, ids),
        "vector": convert(lambda ids: tf.reshape(logits(ids), [3]), ids),
        "broken": b"not a model",
    }
    models["two_lengths"] = convert_lengths(folder / "two_lengths", {"serving_default": 12, "b": 5})
    for name, content in models.items():
        (folder / f"{name}.tflite").write_bytes(content)
    (folder / "vocab.txt").write_text("\n".join([*SPECIALS, "good", "bad", "day"]))
    (folder / "labels.txt").write_text("negative\npositive\ndull\n")
    (folder / "two_labels.txt").write_text("negative\npositive\n")
    (folder / "document.txt").write_text("A GOOD day, a good day.")
    return folder


@pytest.fixture
def classify(on_device_classify, files):
    def run(document="document.txt", model="logits", labels="labels.txt", vocabulary="vocab.txt"):
        options = {"--model": f"{model}.tflite", "--vocabulary": vocabulary, "--labels": labels}
        arguments = [part for name, file in options.items() for part in (name, str(files / file))]
        document = document if document == "-" else str(files / document)
        return on_device_classify.main([*arguments, document])

    return run


@pytest.mark.parametrize("model", ["logits", "probabilities"])
def test_classifies_a_file(classify, capsys, model):
    assert classify(model=model) == 0
    lines = capsys.readouterr().out.splitlines()
    # The room of 6 tokens holds "a good day , a good": good counts 2, the rest 0 and 0.5.
    scores = np.exp([2, 0.5, 0])
    expected = scores / scores.sum()
    assert [line.split()[0] for line in lines[:3]] == ["positive", "dull", "negative"]
    assert [float(line.split()[1]) for line in lines[:3]] == pytest.approx(expected, abs=1e-4)
    assert lines[3].startswith("tokens: 8 (cut to the first 6;")
    assert "latency: tokenizer " in lines[4]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"good day bad", "tokens: 3 (not cut; the model reads 3 and"),
        (b"good day bad day", "tokens: 4 (not cut; the model reads 10 and"),
        (b"good " * 11, "tokens: 11 (cut to the first 10; the model reads 10 and"),
    ],
)
def test_runs_the_shortest_length_that_fits(classify, capsys, monkeypatch, document, words):
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(document)))
    assert classify("-", model="two_lengths") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].startswith(words)
    scores = np.exp([document.count(b"bad"), min(document.count(b"good"), 10), 0.5])
    received = {line.split()[0]: float(line.split()[1]) for line in lines[:3]}
    expected = dict(zip(["negative", "positive", "dull"], scores / scores.sum(), strict=True))
    assert received == pytest.approx(expected, abs=1e-4)


def test_large_logits_do_not_overflow(classify, capsys):
    assert classify(model="large_logits") == 0
    assert capsys.readouterr().out.startswith("positive  1.0000")


def test_classifies_standard_input(classify, capsys, monkeypatch):
    def give(content):
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(content)))

    give("bad \ufffd".encode("utf-16"))
    assert classify("-") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("negative")
    assert lines[3].startswith("tokens: 2 (not cut;")
    give(b"bad \xff")
    assert classify("-") == 1
    assert "standard input: not UTF-8 at byte 4 of the file." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"document": "nowhere.txt"}, "nowhere.txt"),
        ({"model": "nowhere"}, "nowhere.tflite"),
        ({"vocabulary": "nowhere.txt"}, "nowhere.txt"),
        ({"labels": "nowhere.txt"}, "nowhere.txt"),
        ({"labels": "two_labels.txt"}, "has 2 labels, but the model gives 3 scores"),
        ({"vocabulary": "labels.txt"}, "labels.txt lacks [PAD]"),
        ({"model": "broken"}, "cannot be run as a .tflite model"),
        ({"model": "float_input"}, "but takes float32 of shape [1, 8]"),
        ({"model": "batch_of_two"}, "but takes int32 of shape [2, 8]"),
        ({"model": "dynamic"}, "but takes int32 of shape [1, -1]"),
        ({"model": "two_inputs"}, "must have one input, but has 2"),
        ({"model": "vector"}, "but gives [3]"),
    ],
)
def test_says_what_is_wrong(classify, capsys, arguments, words):
    assert classify(**arguments) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("classify: ")
    assert words in output.err


# What the file says of its tokenizer and its labels.


@pytest.fixture
def say(files, on_device_classify, capsys):
    """Runs a file that names `tokenizer`; returns the exit code and what is printed or said."""

    def run(tokenizer, *options, document="document.txt", vocabulary="vocab.txt", **metadata):
        named = tokenizer if isinstance(tokenizer, dict) else tokenizer_of(tokenizer)
        metadata = {"tokenizer": named, "long_texts": "truncate", **metadata}
        content = (files / "logits.tflite").read_bytes()
        (files / "named.tflite").write_bytes(add_metadata(content, metadata))
        names = {"model": "named.tflite", "vocabulary": vocabulary, "labels": "labels.txt"}
        arguments = [x for name, file in names.items() for x in (f"--{name}", str(files / file))]
        code = on_device_classify.main([*arguments, *options, str(files / document)])
        return code, "".join(capsys.readouterr())

    return run


@pytest.mark.parametrize(
    ("tokenizer", "lowercase", "good"),
    [
        (WordPieceTokenizer, True, 3),
        (WordPieceTokenizer, False, 1),
        (BertTokenizer, True, 2),
        (BertTokenizer, False, 1),
    ],
)
def test_texts_are_read_as_the_file_says(say, files, tokenizer, lowercase, good):
    # A capital, and a full-width letter.
    (files / "odd.txt").write_text("good Good \uff47ood", encoding="utf-8")
    tokenizer = tokenizer(files / "vocab.txt", lowercase)
    code, printed = say(tokenizer, document="odd.txt")
    assert code == 0, printed
    expected = np.exp(good) / np.exp([good, 0, 0.5]).sum()
    lines = dict(line.split() for line in printed.splitlines()[:3])
    assert float(lines["positive"]) == pytest.approx(expected, abs=1e-4)


class OtherTokenizer(WordPieceTokenizer):
    pass


def test_what_the_file_says_otherwise_is_refused(say, files):
    known = WordPieceTokenizer(files / "vocab.txt")
    assert say(known, labels=["negative", "positive", "dull"])[0] == 0
    (files / "windows.txt").write_bytes((files / "vocab.txt").read_bytes().replace(b"\n", b"\r\n"))
    assert say(known, vocabulary="windows.txt")[0] == 0
    (files / "swapped.txt").write_text("\n".join([*SPECIALS, "bad", "good", "day"]))
    new_rule = tokenizer_of(known)
    new_rule["config"] = {**new_rule["config"], "split_digits": True}
    for words, (code, said) in {
        "the model's are those of ByteTokenizer. Export a file that takes text": say(
            ByteTokenizer()
        ),
        "the model's are those of OtherTokenizer.": say(OtherTokenizer(files / "vocab.txt")),
        "rules that this example does not know: split_digits": say(new_rule),
        "swapped.txt is not the model's vocabulary": say(known, vocabulary="swapped.txt"),
        "--cased contradicts the model": say(known, "--cased"),
        "label 1 is 'negative', and the model's is 'positive'": say(
            known, labels=["positive", "negative", "dull"]
        ),
    }.items():
        assert code == 1 and words in said, (words, said)


def test_runs_as_a_program_without_tensorflow(on_device_classify, files):
    program = (
        "import runpy, sys\n"
        "sys.modules['tensorflow'] = sys.modules['keras'] = sys.modules['keras_combiner'] = None\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    options = ["--model", "logits.tflite", "--vocabulary", "vocab.txt", "--labels", "labels.txt"]
    command = [sys.executable, "-c", program, on_device_classify.__file__, *options, "document.txt"]
    result = subprocess.run(command, cwd=files, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("positive")
