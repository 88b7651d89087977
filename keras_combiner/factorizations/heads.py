"""Heads become part of the batch, so that blocks fit into tensors of rank 4.

Legend: B batch, H heads, T tokens, D any feature dim, G = B * H.
"""

from keras import ops


def flatten(x):
    """`[B, H, T, D]` -> `[G, T, D]`."""
    return ops.reshape(x, (-1, ops.shape(x)[2], x.shape[3]))


def unflatten(x, num_heads):
    """`[G, T, D]` -> `[B, H, T, D]`; D may be dynamic where it is a number of tokens."""
    return ops.reshape(x, (-1, num_heads, ops.shape(x)[1], ops.shape(x)[2]))


def repeat_for_heads(mask, num_heads):
    """`[B, T]` -> `[G, T]`: every head of a document sees the document's mask.

    For `num_heads=2`: `[[1, 0], [1, 1]]` -> `[[1, 0], [1, 0], [1, 1], [1, 1]]`.
    """
    batch, length = ops.shape(mask)
    mask = ops.broadcast_to(ops.expand_dims(mask, 1), (batch, num_heads, length))
    return ops.reshape(mask, (-1, length))
