"""Windows cover a document: no token is lost, and what fits is left alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.batches.windows import split_into_parts, split_into_windows


@given(tokens=st.integers(0, 300), sequence_length=st.integers(3, 60))
def test_every_token_is_in_a_window(tokens, sequence_length):
    document = np.array([1, *range(10, 10 + tokens), 2])
    pieces = split_into_windows(document, sequence_length)
    assert set(np.concatenate(pieces)) == set(document)
    for piece in pieces:
        assert len(piece) <= sequence_length
        assert (piece[0], piece[-1]) == (1, 2)
        assert (np.diff(piece[1:-1]) == 1).all()  # a run of the document's tokens
    if len(document) <= sequence_length:
        assert len(pieces) == 1
        np.testing.assert_array_equal(pieces[0], document)
    else:
        assert all(len(piece) == sequence_length for piece in pieces)
        starts = [piece[1] for piece in pieces]
        room = sequence_length - 2
        assert max(np.diff(starts)) <= room - room // 4  # neighbours overlap by a quarter


@pytest.mark.parametrize(("tokens", "count"), [(98, 1), (99, 2), (172, 2), (173, 3), (1000, 14)])
def test_no_more_windows_than_it_takes(tokens, count):
    assert len(split_into_windows(np.arange(tokens + 2), 100)) == count


@given(tokens=st.integers(0, 300), sequence_length=st.integers(3, 60))
def test_every_token_is_in_one_part(tokens, sequence_length):
    document = np.array([1, *range(10, 10 + tokens), 2])
    parts = split_into_parts(document, sequence_length)
    np.testing.assert_array_equal(np.concatenate([x[1:-1] for x in parts]), document[1:-1])
    assert all((x[0], x[-1]) == (1, 2) for x in parts)
    assert max(map(len, parts)) <= sequence_length
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert len(parts) == max(1, -(-tokens // (sequence_length - 2)))
