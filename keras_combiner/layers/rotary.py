"""Rotary position embedding: positions as rotations of queries and keys."""

import numpy as np
from keras import ops

from keras_combiner.factorizations import precision


def rotate(x, positions, base=10000.0, scaling_factor=1.0):
    """Rotates pairs of features by angles that grow with the position.

    Feature i of the first half and feature i of the second half are a pair; it is rotated by
    `position / scaling_factor / base ** (2 i / D)`. The dot product of two rotated vectors depends
    on their positions only through the distance. Angles and rotations are computed in float32 at
    least.

    Legend: B batch, H heads, T tokens, D head dim.

    Args:
        x: float tensor `[B, H, T, D]`, D even.
        positions: int or float tensor `[B, T]`, or `[1, T]` if they are the same in every row.
        base: float, about how many times slower the last pair rotates than the first.
        scaling_factor: float, by which positions are divided, so that longer texts turn as far.

    Returns:
        float tensor `[B, H, T, D]`, of the dtype of `x`.

    Example:

    >>> x = np.array([1.0, 0.0]).reshape((1, 1, 1, 2))
    >>> np.array(rotate(x, positions=np.array([[np.pi / 2]]))).round(3).tolist()
    [[[[0.0, 1.0]]]]

    Source: Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021,
    https://arxiv.org/abs/2104.09864, section 3.2. Scaled positions: Chen et al., "Extending
    Context Window of Large Language Models via Position Interpolation", 2023,
    https://arxiv.org/abs/2306.15595.
    """
    x = ops.convert_to_tensor(x)
    half = x.shape[3] // 2
    dtype = precision.dtype_for(x)
    frequencies = float(base) ** (-np.arange(half) / half) / scaling_factor
    frequencies = frequencies.astype(dtype)
    angles = ops.expand_dims(ops.cast(positions, dtype), 2) * frequencies  # [B, T, D / 2]
    angles = ops.expand_dims(angles, 1)
    cosine, sine = ops.cos(angles), ops.sin(angles)  # [B, 1, T, D / 2]
    first, second = (ops.cast(part, dtype) for part in (x[..., :half], x[..., half:]))
    rotated = ops.concatenate(
        [first * cosine - second * sine, second * cosine + first * sine], axis=3
    )
    return ops.cast(rotated, x.dtype)


def check(head_dim, base, scaling_factor=1.0):
    """Raises a ValueError unless vectors of `head_dim` features can be rotated.

    Args:
        head_dim: int.
        base: float.
        scaling_factor: float.

    Raises:
        ValueError: if `head_dim` is odd, or one of the others is not a number above 0.
    """
    if head_dim % 2:
        raise ValueError(
            "`rotary=True` rotates pairs of features: `key_dim` must be even. "
            f"Received: key_dim={head_dim}."
        )
    for name, value in (("rotary_base", base), ("rotary_scaling_factor", scaling_factor)):
        if not isinstance(value, int | float) or value <= 0:
            raise ValueError(f"`{name}` must be a number above 0. Received: {value!r}.")


def positions_from_first_valid(padding_mask, length):
    """Positions of tokens, counted from the first one that counts.

    Args:
        padding_mask: bool tensor `[B, T]`, true at tokens that count, or None for all.
        length: int or int tensor, T.

    Returns:
        int32 tensor `[B, T]`, or `[1, T]` without a mask. Padding before the first token has
        negative positions; a row that is all padding counts from its start.

    Example:

    >>> mask = np.array([[False, True, True], [True, True, False]])
    >>> np.array(positions_from_first_valid(mask, 3)).tolist()
    [[-1, 0, 1], [0, 1, 2]]
    """
    positions = ops.expand_dims(ops.arange(length, dtype="int32"), 0)
    if padding_mask is None:
        return positions
    first = ops.argmax(ops.cast(padding_mask, "int32"), axis=1)
    return positions - ops.expand_dims(ops.cast(first, "int32"), 1)
