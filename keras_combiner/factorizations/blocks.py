"""Cutting sequences into blocks of equal size, and back.

Legend: G batch * heads, T tokens, N blocks, S block size, D any feature dim. T need not be a
multiple of S: the last block is then filled up with positions that do not count.
"""

from keras import ops


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
    heads, num_blocks, block_size, features = ops.shape(x)
    x = ops.reshape(x, (heads, num_blocks * block_size, features))
    if isinstance(length, int) and length == num_blocks * block_size:
        return x
    return x[:, :length]


def _pad(x, block_size):
    """Pads axis 1 at its end to a multiple of `block_size`, with zeros (False for masks)."""
    length = ops.shape(x)[1]
    missing = -length % block_size
    if isinstance(missing, int) and missing == 0:
        return x
    return ops.pad(x, [[0, 0], [0, missing]] + [[0, 0]] * (len(x.shape) - 2))
