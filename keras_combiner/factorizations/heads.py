"""Heads become part of the batch, so that blocks fit into tensors of rank 4.

Legend: B batch, H heads, T tokens, D any feature dim, G = B * H. Sizes are spelled out in every
reshape, because a size of -1 cannot be inferred when a batch is empty.
"""

from keras import ops


def flatten(x):
    """`[B, H, T, D]` -> `[G, T, D]`, whatever follows B and H."""
    batch, num_heads, *rest = ops.shape(x)
    return ops.reshape(x, (batch * num_heads, *rest))


def unflatten(x, num_heads):
    """`[G, T, D]` -> `[B, H, T, D]`, whatever follows G; any size may be dynamic."""
    batch, *rest = ops.shape(x)
    return ops.reshape(x, (batch // num_heads, num_heads, *rest))


def zero_padding(x, padding_mask):
    """`[B, H, T, D]` with zeros in place of tokens that do not count; bool mask `[B, T]`."""
    counts = ops.expand_dims(ops.expand_dims(padding_mask, 1), -1)
    return ops.where(counts, x, ops.zeros_like(x))


def repeat_for_heads(mask, batch, num_heads):
    """`[B, T]` (or `[1, T]`) -> `[G, T]`: every head of a document sees the document's mask.

    For `num_heads=2`: `[[1, 0], [1, 1]]` -> `[[1, 0], [1, 0], [1, 1], [1, 1]]`.
    """
    length = ops.shape(mask)[1]
    mask = ops.broadcast_to(ops.expand_dims(mask, 1), (batch, num_heads, length))
    return ops.reshape(mask, (batch * num_heads, length))
