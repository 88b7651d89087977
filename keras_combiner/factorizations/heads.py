"""Heads become part of the batch, so that blocks fit into tensors of rank 4.

Legend: B batch, H heads, T tokens, D any feature dim, G = B * H. Sizes are spelled out in every
reshape, because a size of -1 cannot be inferred when a batch is empty.
"""

import numpy as np
from keras import ops

from keras_combiner.factorizations import precision


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


def favor(locality, query):
    """What every head adds to logits of direct tokens: `[G, 1, 1, 1]`, or None for nothing.

    For `locality=2`, three heads and one document: 0, 1 and 2.

    Args:
        locality: float, at least 0, that of the last head, in nats; those before it have less, in
            equal steps from 0 on.
        query: float tensor `[B, H, ...]`.

    Returns:
        float32 tensor (float64 for such queries), or None.
    """
    if not locality:
        return None
    batch, num_heads, *_ = ops.shape(query)
    steps = np.linspace(0.0, locality, num_heads)[np.newaxis]
    steps = ops.convert_to_tensor(steps, precision.dtype_for(query))
    by_head = ops.broadcast_to(steps, (batch, num_heads))
    return ops.reshape(by_head, (batch * num_heads, 1, 1, 1))


def repeat_for_heads(mask, batch, num_heads):
    """`[B, T]` (or `[1, T]`) -> `[G, T]`: every head of a document sees the document's mask.

    For `num_heads=2`: `[[1, 0], [1, 1]]` -> `[[1, 0], [1, 0], [1, 1], [1, 1]]`.
    """
    length = ops.shape(mask)[1]
    mask = ops.broadcast_to(ops.expand_dims(mask, 1), (batch, num_heads, length))
    return ops.reshape(mask, (batch * num_heads, length))
