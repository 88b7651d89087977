"""Effective attention matrices, put together from a plan's weights.

Only for those who ask for attention scores: everything here grows with the square of the length.

Legend: G batch * heads, T query positions, M parts (or blocks), C columns of a weight tensor, S
tokens a part.
"""

from keras import ops


def place(weights, slots, num_slots):
    """Weights `[G, T, C]`, slots int `[T]` -> `[G, T, num_slots * C]`, zero outside the slot.

    For two queries with the weights `[a b] [c d]` and the slots 0 and 1 out of 2:
    `[a b 0 0] [0 0 c d]`.
    """
    heads, length, columns = ops.shape(weights)
    slots = ops.reshape(ops.cast(slots, "int32"), (1, length, 1, 1))
    every = ops.reshape(ops.arange(num_slots, dtype="int32"), (1, 1, num_slots, 1))
    here = ops.cast(ops.equal(slots, every), weights.dtype)
    placed = ops.expand_dims(weights, 2) * here  # [G, T, num_slots, C]
    return ops.reshape(placed, (heads, length, num_slots * columns))


def share(weights, local_weights):
    """Weights `[G, T, M]` of parts, local `[G, M, S]` -> `[G, T, M * S]`, weights of their tokens.

    For one query, the weights `[a b]` and the local weights `[1/2 1/2] [1 0]`:
    `[a/2 a/2 b 0]`.
    """
    heads, length, num_parts = ops.shape(weights)
    size = ops.shape(local_weights)[2]
    shared = ops.expand_dims(weights, 3) * ops.expand_dims(local_weights, 1)
    return ops.reshape(shared, (heads, length, num_parts * size))
