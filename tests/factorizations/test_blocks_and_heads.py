import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from keras_combiner.factorizations import blocks, heads

A, B, C = [1.0, 2.0], [3.0, 4.0], [5.0, 6.0]


def test_split_fills_the_last_block_with_zeros():
    x = np.array([[A, B, C]])
    assert np.array(blocks.split(x, 2)).tolist() == [[[A, B], [C, [0, 0]]]]
    assert np.array(blocks.split(x, 3)).tolist() == [[[A, B, C]]]
    assert np.array(blocks.split(x, 1)).tolist() == [[[A], [B], [C]]]


def test_merge_drops_what_split_filled_up():
    x = ops.convert_to_tensor([[[A, B], [C, [0.0, 0.0]]]])
    assert np.array(blocks.merge(x, 3)).tolist() == [[A, B, C]]
    assert np.array(blocks.merge(x, 4)).tolist() == [[A, B, C, [0, 0]]]


@pytest.mark.parametrize(
    ("mask", "length", "block_size", "expected"),
    [
        (None, 3, 2, [[[1, 1], [1, 0]]]),
        (None, 4, 2, None),
        (None, 2, 4, [[[1, 1, 0, 0]]]),
        ([[1, 1, 1]], 3, 3, [[[1, 1, 1]]]),
        ([[0, 1, 1], [1, 0, 0]], 3, 2, [[[0, 1], [1, 0]], [[1, 0], [0, 0]]]),
    ],
)
def test_split_mask(mask, length, block_size, expected):
    mask = None if mask is None else np.array(mask, bool)
    result = blocks.split_mask(mask, length, block_size)
    if expected is None:
        assert result is None
    else:
        assert np.array(result).dtype == bool
        assert np.array(result).astype(int).tolist() == expected


@pytest.mark.parametrize(
    ("length", "block_size", "expected"), [(10, 4, 3), (8, 4, 2), (1, 4, 1), (9, 1, 9)]
)
def test_count(length, block_size, expected):
    assert blocks.count(length, block_size) == expected
    assert int(blocks.count(ops.convert_to_tensor(length), block_size)) == expected


@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 50), st.integers(1, 3))
def test_merge_undoes_split(groups, length, block_size, features):
    x = np.arange(groups * length * features, dtype="float32").reshape(groups, length, features)
    in_blocks = blocks.split(x, block_size)
    assert in_blocks.shape == (groups, blocks.count(length, block_size), block_size, features)
    np.testing.assert_array_equal(blocks.merge(in_blocks, length), x)


@given(st.integers(1, 40), st.integers(1, 50), st.randoms(use_true_random=False))
def test_split_mask_marks_the_tokens_that_split_keeps(length, block_size, random):
    mask = np.array([[random.random() < 0.5 for _ in range(length)]])
    split = np.array(blocks.split_mask(mask, length, block_size)).reshape(1, -1)
    assert split[:, :length].tolist() == mask.tolist()
    assert not split[:, length:].any()


def test_heads_become_part_of_the_batch():
    x = np.arange(2 * 3 * 2 * 1, dtype="float32").reshape(2, 3, 2, 1)  # x[b, h, t] = 6b + 2h + t
    flat = heads.flatten(ops.convert_to_tensor(x))
    assert np.array(flat)[..., 0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    np.testing.assert_array_equal(heads.unflatten(flat, 3), x)


def test_every_head_sees_its_documents_mask():
    mask = np.array([[1, 0], [1, 1]], bool)
    repeated = np.array(heads.repeat_for_heads(mask, 2, 2)).astype(int)
    assert repeated.tolist() == [[1, 0], [1, 0], [1, 1], [1, 1]]
