import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_combiner.text import ByteTokenizer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", [1, 2, 0, 0, 0, 0]),
        (b"\0", [1, 3, 2, 0, 0, 0]),
        (b"\0\0\0\0\0", [1, 3, 3, 3, 3, 2]),
        (b"\xff\x00\xc3", [1, 258, 3, 198, 2, 0]),
        ("é", [1, 198, 172, 2, 0, 0]),
        ("\ud800", [1, 240, 163, 131, 2, 0]),
    ],
)
def test_literals(text, expected):
    assert ByteTokenizer()([text], 6).numpy().tolist() == [expected]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=40), max_size=5), st.integers(3, 50))
def test_ids_are_the_bytes(texts, length):
    rows = ByteTokenizer().encode(texts, length).to_list()
    assert rows == [[1, *(each + 3 for each in text[: length - 2]), 2] for text in texts]


def test_ten_megabytes():
    row = ByteTokenizer()([b"x" * 10_000_000], 8).numpy()[0]
    assert row.tolist() == [1, *[ord("x") + 3] * 6, 2]


def test_needs_no_tensorflow_text(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    assert ByteTokenizer()(["a"], 4).numpy().tolist() == [[1, 100, 2, 0]]


def test_a_large_limit_takes_no_more_memory_than_the_texts():
    ids = ByteTokenizer().encode(["ab", ""], 2**31 - 1)
    assert ids.to_list() == [[1, 100, 101, 2], [1, 2]]
