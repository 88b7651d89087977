"""Cutting sequences into blocks of equal size, and back.

Legend: G batch * heads, T tokens, N blocks, S block size, D any feature dim. T need not be a
multiple of S: the last block is then filled up with positions that do not count.
"""

from typing import Any, NamedTuple

import numpy as np
from keras import ops


class Tokens(NamedTuple):
    """The projected heads of tokens, laid out as a sequence or in blocks.

    Attributes:
        query: float tensor `[G, T, D]`, already divided by sqrt(D); in blocks `[G, N, S, D]`.
        key: float tensor `[G, T, D]`.
        value: float tensor `[G, T, V]`, V value dim.
        mask: bool tensor `[G, T]` (G may be 1), true at tokens that count, or None for all.
    """

    query: Any
    key: Any
    value: Any
    mask: Any = None

    def in_blocks(self, block_size):
        """A sequence cut into blocks; see `split` and `split_mask`."""
        length = ops.shape(self.query)[1]
        query, key, value = (split(x, block_size) for x in (self.query, self.key, self.value))
        return Tokens(query, key, value, split_mask(self.mask, length, block_size))

    def map(self, function):
        """Applies `function` to each of the four tensors; None stays None."""
        return Tokens(*(None if x is None else function(x) for x in self))


def count(length, block_size):
    """Number of blocks that cover `length` tokens: an int, or a tensor if `length` is one.

    10 tokens in blocks of 4 -> 3.
    """
    return -(-length // block_size)


def split(x, block_size):
    """`[G, T, D]` -> `[G, N, S, D]`, zeros after the end.

    For `block_size=2`: `[a b c]` -> `[[a b] [c 0]]`.
    """
    x = _pad(x, block_size)
    heads, length, features = ops.shape(x)
    return ops.reshape(x, (heads, length // block_size, block_size, features))


def split_mask(padding_mask, length, block_size):
    """`[G, T]` or None -> bool `[G, N, S]`, or None if every position of every block counts.

    For `length=3`, `block_size=2` and no padding mask: `[[[1 1] [1 0]]]` (`G` is then 1).
    """
    if padding_mask is None:
        if isinstance(length, int) and length % block_size == 0:
            return None
        padding_mask = ops.ones((1, length), dtype="bool")
    mask = _pad(padding_mask, block_size)
    heads, length = ops.shape(mask)
    return ops.reshape(mask, (heads, length // block_size, block_size))


def merge(x, length):
    """`[G, N, S, D]` -> `[G, T, D]`: undoes `split`, dropping what it filled up."""
    x = join(x)
    filled_up = ops.shape(x)[1]
    if isinstance(length, int) and isinstance(filled_up, int) and length == filled_up:
        return x
    return x[:, :length]


def join(x):
    """`[G, N, S, D]` -> `[G, N S, D]`: blocks side by side."""
    heads, num_blocks, block_size, features = ops.shape(x)
    return ops.reshape(x, (heads, num_blocks * block_size, features))


def cut(x, num_blocks, block_size):
    """`[G, N S, D]` -> `[G, N, S, D]`: undoes `join`."""
    heads, _, features = ops.shape(x)
    return ops.reshape(x, (heads, num_blocks, block_size, features))


def with_neighbors(x, before, after):
    """`[G, N, S, ...]` -> `[G, N, (before + 1 + after) S, ...]`: every block among its neighbors.

    Zeros (False for masks) stand in for blocks beyond the ends. For blocks `a b c` of one token,
    `before=1` and `after=0`: `[[0 a] [a b] [b c]]`.
    """
    if before == after == 0:
        return x
    shape = ops.shape(x)
    x = ops.pad(x, [[0, 0], [before, after]] + [[0, 0]] * (len(shape) - 2))
    # Not x[:, k : k + num_blocks], whose gradient TensorFlow is slow to make.
    starts = [(0, k, *(0 for _ in shape[2:])) for k in range(before + 1 + after)]
    return ops.concatenate([ops.slice(x, start, shape) for start in starts], axis=2)


def repeat(x, times, num_blocks):
    """`[G, N, C, D]` -> `[G, num_blocks, C, D]`: block n of the result is block n // times of x.

    For blocks `a b`, `times=2` and `num_blocks=3`: `a a b`.
    """
    heads, count, size, features = ops.shape(x)
    x = ops.reshape(x, (heads, count, 1, size * features))
    x = ops.tile(x, (1, 1, times, 1))
    x = ops.reshape(x, (heads, count * times, size, features))
    return x if count * times == num_blocks else x[:, :num_blocks]


def take(x, index):
    """`[G, T, ...]` by int `[G, K]` -> `[G, K, ...]`.

    For the rows `a b c` and the index `2 0 0`: `c a a`.
    """
    heads, length, *features = ops.shape(x)
    index = index + ops.expand_dims(ops.arange(heads, dtype="int32") * length, 1)
    return ops.take(ops.reshape(x, (heads * length, *features)), index, axis=0)


def pattern(size, name):
    """bool `[S, S]`: which tokens of its block (second axis) a token (first axis) attends to.

    For 3 tokens: "other" `[[0 1 1] [1 0 1] [1 1 0]]`, "before" `[[0 0 0] [1 0 0] [1 1 0]]`, "to"
    `[[1 0 0] [1 1 0] [1 1 1]]`, "after" `[[0 1 1] [0 0 1] [0 0 0]]`.
    """
    token, other = np.arange(size)[:, np.newaxis], np.arange(size)
    return {
        "to": other <= token,
        "other": other != token,
        "before": other < token,
        "after": other > token,
    }[name]


def mask_pairs(mask, pattern):
    """`[G, N, S]` and `[S, S]`, either may be None -> broadcasts to `[G, N, S, S]`, or None."""
    if pattern is not None:
        pattern = ops.convert_to_tensor(pattern[np.newaxis, np.newaxis])
    if mask is None:
        return pattern
    mask = ops.expand_dims(mask, 2)
    return mask if pattern is None else ops.logical_and(mask, pattern)


def check_size(name, size, meaning, at_least=1):
    """Raises a ValueError unless `size` is an int of at least `at_least`."""
    if isinstance(size, bool) or not isinstance(size, int) or size < at_least:
        raise ValueError(
            f"`{name}` must be an int of at least {at_least}, {meaning}. Received: {name}={size!r}."
        )


def _pad(x, block_size):
    """Pads axis 1 at its end to a multiple of `block_size`, with zeros (False for masks)."""
    length = ops.shape(x)[1]
    missing = -length % block_size
    if isinstance(missing, int) and missing == 0:
        return x
    return ops.pad(x, [[0, 0], [0, missing]] + [[0, 0]] * (len(x.shape) - 2))
