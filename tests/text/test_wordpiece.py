import os
import sys

import pytest

from keras_combiner.text import WordPieceTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
UNKNOWN = 1
A, B, C, JOINED_A, CAFE, DOT, HASH, CJK, ALPHA, BRACKET, UNK_WORD = range(4, 15)
VOCABULARY = [
    *SPECIALS,
    "a",
    "b",
    "c",
    "##a",
    "cafe",
    ".",
    "#",
    "漢",
    "\N{GREEK SMALL LETTER ALPHA}",
    "[",
    "unk",
]


def tokens(text, vocabulary=VOCABULARY, **kwargs):
    row = WordPieceTokenizer(vocabulary, **kwargs).encode([text], 1000).to_list()[0]
    assert (row[0], row[-1]) == (2, 3)
    return row[1:-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\r\n\u3000\u2028\x85", []),
        ("\0", []),
        ("a\0b", [A, B]),
        ("a\x01b\x7fc", [A, B, C]),
        ("a\u200bb", [UNKNOWN]),  # A zero-width space vanishes, leaving the word "ab".
        ("a\u00ada", [A, JOINED_A]),
        ("\ufeffa", [A]),  # A byte order mark.
        ("Café CAFE\u0301 \uff23\uff21\uff26\uff25", [CAFE, CAFE, CAFE]),
        ("aaa ab", [A, JOINED_A, JOINED_A, UNKNOWN]),
        ("a.b", [A, DOT, B]),
        ("...", [DOT, DOT, DOT]),
        ("##a", [HASH, HASH, A]),
        ("#a##", [HASH, A, HASH, HASH]),
        ("a漢b漢字", [A, CJK, B, CJK, UNKNOWN]),
        ("\u0391 \u03b1 \u03ac", [ALPHA, ALPHA, ALPHA]),
        ("a $ b", [A, UNKNOWN, B]),
        ("$xa", [UNKNOWN, UNKNOWN]),
        ("😀 a😀 \N{MATHEMATICAL BOLD ITALIC SMALL A}", [UNKNOWN, UNKNOWN, A]),
        ("[UNK]", [BRACKET, UNK_WORD, UNKNOWN]),  # Never the special token itself.
        ("[CLS][PAD]", [BRACKET, UNKNOWN, UNKNOWN, BRACKET, UNKNOWN, UNKNOWN]),
        ("a" * 100, [A] + [JOINED_A] * 99),
        ("a" * 101, [UNKNOWN]),
        ("a" * 101 + ".b", [UNKNOWN, DOT, B]),
        ("a" * 100_000 + " b", [UNKNOWN, B]),
        (b"a \xff b", [A, UNKNOWN, B]),
        (b"a\xc3", [UNKNOWN]),
        (b"\xed\xa0\x80 a", [UNKNOWN, A]),
        (b"caf\xe9 b", [UNKNOWN, B]),
        ("\ud800 a", [UNKNOWN, A]),
    ],
)
def test_lowercase(text, expected):
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cafe Cafe", [CAFE, UNKNOWN]),
        ("a\u200bb", [A, B]),
        ("a\xa0b\0c", [A, B, C]),
        ("\ufeffa.", [A, DOT]),
        ("café", [UNKNOWN]),
    ],
)
def test_cased(text, expected):
    assert tokens(text, lowercase=False) == expected


def test_the_replacement_character_can_have_an_id():
    assert tokens(b"\xff", [*VOCABULARY, "\ufffd"]) == [len(VOCABULARY)]


def test_special_tokens_may_stand_anywhere_but_padding():
    tokenizer = WordPieceTokenizer(["[PAD]", "a", "[SEP]", "[UNK]", "[CLS]"])
    assert tokenizer(["a x"], 6).numpy().tolist() == [[4, 1, 3, 2, 0, 0]]


@pytest.mark.slow
def test_ten_megabytes():
    tokenizer = WordPieceTokenizer(VOCABULARY)
    texts = ["a . " * 2_500_000, b"\xff" * 10_000_000]
    assert tokenizer(texts, 6).numpy().tolist() == [[2, A, DOT, A, DOT, 3], [2, 1, 3, 0, 0, 0]]


@pytest.mark.parametrize(
    ("vocabulary", "error", "words"),
    [
        (["[PAD]", "[UNK]", "a"], ValueError, r"Missing: \[CLS\], \[SEP\]"),
        ([], ValueError, r"Missing: \[PAD\], \[UNK\], \[CLS\], \[SEP\]"),
        (["a", *SPECIALS], ValueError, r"\[PAD\] to be the first.*at 1"),
        ([*SPECIALS, "a", "b", "a"], ValueError, "'a' at 4 and at 6"),
        ([*SPECIALS, "a", ""], ValueError, "at 5 .*empty"),
        ([*SPECIALS, "a", "##"], ValueError, "at 5 .*empty"),
        ([*SPECIALS, "a\n"], ValueError, "at 4 .*line break"),
        ([*SPECIALS, "a\0b"], ValueError, "at 4 .*NUL"),
        ([*SPECIALS, "\ud800"], ValueError, "at 4 .*surrogate"),
        ([*SPECIALS, "x" * 257], ValueError, "at 4 .*256 bytes"),
        (SPECIALS, ValueError, "besides the special tokens.*4 tokens"),
        ([*SPECIALS, "...", "##."], ValueError, "besides the special tokens"),
        ([*SPECIALS, b"a"], TypeError, "at 4 .*b'a'"),
        ([*SPECIALS, None], TypeError, "at 4 .*None"),
        (b"vocab.txt", TypeError, "Received: bytes"),
        (None, TypeError, "Received: NoneType"),
        (dict.fromkeys(SPECIALS), TypeError, "Received: dict"),
    ],
)
def test_refuses_other_vocabularies(vocabulary, error, words):
    with pytest.raises(error, match=words):
        WordPieceTokenizer(vocabulary)


def test_takes_what_the_limits_allow():
    odd = [*SPECIALS, "x" * 256, "##" + "y" * 256, "...", "##.", "a b", "é", "\u2028"]
    assert WordPieceTokenizer(odd).vocabulary == odd


def test_lowercase_is_a_bool():
    with pytest.raises(TypeError, match="lowercase"):
        WordPieceTokenizer(VOCABULARY, lowercase="yes")


def test_save_and_read(tmp_path):
    # Characters at which str.splitlines would break a line.
    vocabulary = [*VOCABULARY, "\u2028", "x\x85", "é"]
    path = tmp_path / "vocab.txt"
    path.write_text("old")
    WordPieceTokenizer(vocabulary).save_vocabulary(path)
    assert path.read_bytes() == "".join(token + "\n" for token in vocabulary).encode()
    assert os.listdir(tmp_path) == ["vocab.txt"]
    assert WordPieceTokenizer(path).vocabulary == vocabulary
    assert WordPieceTokenizer(str(path)).vocabulary == vocabulary


def test_reads_windows_lines_and_no_last_line_end(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes("\r\n".join(VOCABULARY).encode())
    assert WordPieceTokenizer(path).vocabulary == VOCABULARY


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "vocab.txt"
    path.write_text("old")

    def refuse(source, target):
        raise OSError("disk on fire")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="on fire"):
        WordPieceTokenizer(VOCABULARY).save_vocabulary(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["vocab.txt"]


def test_unreadable_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        WordPieceTokenizer(tmp_path / "nowhere.txt")
    (tmp_path / "latin1.txt").write_bytes(b"[PAD]\ncaf\xe9\n")
    with pytest.raises(ValueError, match=r"latin1\.txt' to be UTF-8"):
        WordPieceTokenizer(tmp_path / "latin1.txt")
    (tmp_path / "gap.txt").write_text("[PAD]\n\n[UNK]\n")
    with pytest.raises(ValueError, match=r"at 1 .*empty"):
        WordPieceTokenizer(tmp_path / "gap.txt")


def test_the_vocabulary_is_a_copy():
    vocabulary = list(VOCABULARY)
    tokenizer = WordPieceTokenizer(vocabulary)
    vocabulary.append("x")
    tokenizer.vocabulary.append("y")
    assert tokenizer.vocabulary == VOCABULARY
    assert tokenizer.vocabulary_size == len(VOCABULARY)


def test_missing_tensorflow_text_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(ImportError, match=r"pip install keras_combiner\[text\]"):
        WordPieceTokenizer(VOCABULARY)
