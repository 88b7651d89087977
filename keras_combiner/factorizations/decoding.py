"""What decoding one token at a time shares among plans: a cache that holds what is still needed.

Legend: G batch * heads, T entries that the cache keeps, D any feature dim.
"""

import numbers
from typing import Any, NamedTuple

from keras import ops

from keras_combiner.factorizations.softmax import joint_softmax
from keras_combiner.factorizations.summaries import summarize


class Part(NamedTuple):
    """The summary of one part: query and key `[G, 1, D]`, value `[G, 1, V]`, bias `[G, 1]`."""

    query: Any
    key: Any
    value: Any
    bias: Any


# An entry of every cache without contents: its shape `[B, H, max_length, 0]` tells how long the
# sequence may get, also while a graph is traced, and its dtype what the cache holds.
ROOM = "room"


def initial_cache(shapes, batch_size, num_heads, max_length, dtype):
    """Zeros `[batch_size, num_heads, *shape]` under every name of `shapes`, and the room."""
    shapes = {ROOM: (max_length, 0), **shapes}
    bias = "float64" if dtype == "float64" else "float32"
    return {
        # Biases of logits are at least float32, as logits are.
        name: ops.zeros((batch_size, num_heads, *shape), bias if name.endswith("bias") else dtype)
        for name, shape in shapes.items()
    }


def check_cache(cache, plan, query_shape, value_dim):
    """Raises a ValueError unless `plan` made `cache` for queries `[B, H, D]` of this shape."""
    remedy = "Start with what `initial_cache` gives, and go on with what each step returns."
    if not isinstance(cache, dict) or ROOM not in cache:
        found = sorted(cache) if isinstance(cache, dict) else type(cache).__name__
        raise ValueError(f"`cache` is none that `initial_cache` made. Received: {found}. {remedy}")
    batch, num_heads, key_dim = query_shape
    max_length = cache[ROOM].shape[2]
    shapes = {ROOM: (max_length, 0), **plan.cache_shapes(key_dim, value_dim, max_length)}
    expected = {name: (num_heads, *shape) for name, shape in shapes.items()}
    received = {name: tuple(x.shape[1:]) for name, x in cache.items()}
    sizes = {x.shape[0] for x in cache.values()} | {batch}
    if received != expected or len(sizes - {None}) > 1:
        raise ValueError(
            f"`cache` was made for another plan, batch or width: {type(plan).__name__} expects "
            f"shapes {expected} after a batch of {batch}. Received: shapes {received} after a "
            f"batch of {cache[ROOM].shape[0]}. {remedy}"
        )


def check_position(position, cache):
    """Raises a ValueError if `position` is known now and the cache has no room for it."""
    shape = getattr(position, "shape", ())
    if len(shape):
        raise ValueError(
            "`position` must be one int for all sequences of the batch. Received: shape "
            f"{tuple(shape)}."
        )
    max_length = cache[ROOM].shape[2]
    if isinstance(position, numbers.Integral) and not 0 <= position < max_length:
        raise ValueError(
            f"`position` must lie between 0 and {max_length - 1}, for the cache was made for "
            f"max_length={max_length}. Received: position={position}. Make one with room for more: "
            f"initial_cache(..., max_length={max(position + 1, 1)})."
        )


def write(cache, entry, index):
    """`[G, T, ...]` with `[G, 1, ...]` in place of what it held at `index`, an int32 scalar.

    For the entry `x` at index 1: `[a b c]` -> `[a x c]`.
    """
    entry = ops.cast(entry, cache.dtype)
    return ops.slice_update(cache, _start(index, cache), entry)


def read(cache, index, size):
    """`[G, T, ...]` -> `[G, size, ...]` from `index`, an int32 scalar, onwards.

    For index 1 and size 2: `[a b c d]` -> `[b c]`.
    """
    shape = list(ops.shape(cache))
    return ops.slice(cache, _start(index, cache), [shape[0], size, *shape[2:]])


def _start(index, cache):
    zero = ops.zeros((), "int32")
    return [zero, ops.cast(index, "int32"), *[zero] * (len(cache.shape) - 2)]


def part_shapes(count, key_dim, value_dim, prefix="part_"):
    """What `count` summaries hold for the queries to come."""
    return {
        f"{prefix}key": (count, key_dim),
        f"{prefix}value": (count, value_dim),
        f"{prefix}bias": (count,),
    }


def write_part(cache, part, index, prefix="part_"):
    """The entries of `cache` that hold summaries, with one of them written.

    Args:
        cache: dictionary that holds what `part_shapes` says.
        part: `Part`.
        index: int32 scalar, the part's number.
        prefix: str, as in `part_shapes`.

    Returns:
        A dictionary of the new entries; the query is among them only if the cache keeps queries of
        parts.
    """
    kept = {f"{prefix}{name}": x for name, x in part._asdict().items()}
    return {name: write(cache[name], x, index) for name, x in kept.items() if name in cache}


def part_term(query, cache, mask, prefix="part_"):
    """Logits of the query with all summaries of `cache`, for `joint_softmax`.

    Args:
        query: float tensor `[G, 1, D]`.
        cache: dictionary that holds what `part_shapes` says.
        mask: bool tensor `[T]`, true at parts that the query attends to.
        prefix: str, as in `part_shapes`.

    Returns:
        `(logits [G, 1, T], mask [1, 1, T], bias float32 [G, 1, T])`.
    """
    logits = ops.matmul(query, ops.swapaxes(cache[f"{prefix}key"], 1, 2))
    return logits, ops.reshape(mask, (1, 1, -1)), ops.expand_dims(cache[f"{prefix}bias"], 1)


def summarize_part(query, key, value, mask, pooling, bias=None):
    """`summaries.summarize` of one part: `[G, S, D]`, mask bool `[S]` or None, bias `[G, S]`.

    Returns a `Part`, whose bias is zero where the summary has none.
    """
    query, key, value = (ops.expand_dims(x, 1) for x in (query, key, value))
    parts = summarize(
        query,
        key,
        value,
        None if mask is None else ops.reshape(mask, (1, 1, -1)),
        pooling,
        bias=None if bias is None else ops.expand_dims(bias, 1),
    )
    bias = ops.zeros_like(parts.local_weights[:, :, 0]) if parts.bias is None else parts.bias
    return Part(parts.query, parts.key, parts.value, bias)


def direct_term(query, key, mask):
    """Logits of the query `[G, 1, D]` with keys `[G, T, D]`, and their mask, bool `[T]`."""
    return ops.matmul(query, ops.swapaxes(key, 1, 2)), ops.reshape(mask, (1, 1, -1))


def mix(terms, values):
    """Joint softmax over `terms`, then the weighted sum of `values` `[G, T, V]`, one a term."""
    weights = joint_softmax(terms)
    outputs = [ops.matmul(ops.cast(x, y.dtype), y) for x, y in zip(weights, values, strict=True)]
    return sum(outputs[1:], outputs[0])
