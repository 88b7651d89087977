"""Where tokens stand in their text."""

import functools

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_combiner.text import BytePairTokenizer, ByteTokenizer, WordPieceTokenizer
from keras_combiner.text.byte_pair_merges import byte_alphabet

VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "##a", "cafe", ".", "漢", "fi", "f", "##i"),
    "\ufffd",
]
WORDPIECE = WordPieceTokenizer(VOCABULARY)
BYTES_IN_ORDER = ByteTokenizer()
# Composed characters, a token that takes in white space, and one that is looked for after that.
BYTE_PAIRS = BytePairTokenizer(
    ["<pad>", "<s>", "</s>", "<mask>", "..", *byte_alphabet(), "Ġa", "Ã©"],
    ["Ġ a", "Ã ©"],
    *("<s>", "</s>", "<mask>"),
    added_tokens=[
        "</s>",
        {"content": "<mask>", "lstrip": True},
        {"content": "..", "normalized": True},
    ],
    normalization="NFC",
)
LENGTH = 12
TOKENIZERS = {"wordpiece": WORDPIECE, "bytes": BYTES_IN_ORDER, "byte pairs": BYTE_PAIRS}


@functools.cache
def in_graph(tokenizer):
    """Texts to ids, and to ids, starts and ends; op by op, byte pairs take a tenth of a second."""
    return tf.function(
        lambda texts: (
            tokenizer.encode(texts, LENGTH),
            tokenizer.encode_with_offsets(texts, LENGTH),
        ),
        [tf.TensorSpec([None], tf.string)],
        autograph=False,
    )


def spans(tokenizer, text):
    """What each token was in the text, those that frame it included."""
    text = text.encode() if isinstance(text, str) else text
    expected, (ids, starts, ends) = in_graph(tokenizer)(tf.constant([text]))
    assert ids.to_list() == expected.to_list()
    if tokenizer is not BYTES_IN_ORDER:
        text = text.decode("utf-8", "replace").encode()
    pairs = zip(starts.to_list()[0], ends.to_list()[0], strict=True)
    return [text[start:end].decode("utf-8", "replace") for start, end in pairs]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n", []),
        ("a b.", ["a", "b", "."]),
        ("  aaa\tb", ["a", "a", "a", "b"]),
        ("\u2003a zebra a", ["a", "zebra", "a"]),
        ("Café CAFE\u0301 b", ["Café", "CAFE\u0301", "b"]),
        ("a漢b", ["a", "漢", "b"]),
        ("\U0001f327 a", ["\U0001f327", "a"]),
        ("\uff21 b", ["\uff21", "b"]),  # A full-width A.
        ("b \u00ada a", ["b", "a", "a"]),
        (b"a \xff b", ["a", "\ufffd", "b"]),
        (b"\xc3\xa9\xc3 a", ["é\ufffd", "a"]),
    ],
)
def test_word_pieces(text, expected):
    assert spans(WORDPIECE, text) == ["", *expected, ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a a\n a", ["a", " a", "\n", " a"]),
        ("é e\u0301", ["é", " ", "e\u0301"]),
        ("\u212b", ["\u212b", ""]),  # Two bytes of an Å, where three were.
        ("a  <mask> e\u0301..</s>\0a", ["a", "  <mask>", " ", "e\u0301", "..", "</s>", "\0", "a"]),
        (b"a \xff a", ["a", " ", *"\ufffd\ufffd\ufffd", " a"]),
    ],
)
def test_byte_pairs(text, expected):
    assert spans(BYTE_PAIRS, text) == ["", *expected, ""]


def test_bytes():
    assert spans(ByteTokenizer(), "ab") == ["", "a", "b", ""]
    ids, starts, ends = ByteTokenizer().encode_with_offsets([b"", b"\xff\x00"], 10)
    assert ids.to_list() == [[1, 2], [1, 258, 3, 2]]
    assert starts.to_list() == [[0, 0], [0, 0, 1, 2]]
    assert ends.to_list() == [[0, 0], [0, 1, 2, 2]]


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=list(TOKENIZERS))
def test_a_text_that_is_cut_ends_where_reading_stopped(tokenizer):
    _, starts, ends = tokenizer.encode_with_offsets(["a.b.a"], sequence_length=4)
    assert starts.to_list() == [[0, 0, 1, 2]]
    assert ends.to_list() == [[0, 1, 2, 2]]


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=list(TOKENIZERS))
def test_no_texts(tokenizer):
    outputs = tokenizer.encode_with_offsets(tf.constant([], tf.string), sequence_length=4)
    assert [x.to_list() for x in outputs] == [[], [], []]
    assert {x.dtype for x in outputs} == {tf.int32}


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=list(TOKENIZERS))
@settings(max_examples=10)
@given(texts=st.lists(st.one_of(st.binary(max_size=20), st.text(max_size=20)), max_size=5))
def test_spans_follow_one_another_within_the_text(tokenizer, texts):
    texts = [x.encode("utf-8", "surrogatepass") if isinstance(x, str) else x for x in texts]
    expected, (ids, starts, ends) = in_graph(tokenizer)(tf.constant(texts, tf.string))
    assert ids.to_list() == expected.to_list()
    for text, row_starts, row_ends in zip(texts, starts.to_list(), ends.to_list(), strict=True):
        if tokenizer is not BYTES_IN_ORDER:
            text = text.decode("utf-8", "replace").encode()
        bounds = [x for pair in zip(row_starts, row_ends, strict=True) for x in pair]
        assert bounds == sorted(bounds)
        assert bounds[0] == 0 and bounds[-1] <= len(text)


def test_a_sequence_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="at least 3"):
        ByteTokenizer().encode_with_offsets(["a"], sequence_length=2)
