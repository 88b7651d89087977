"""How the plan "fixed" lays out what a query attends to: masks, and columns of weights.

Legend: G batch * heads, N blocks, S tokens a block, K neighbors, W direct keys, F first blocks, M
parts, P tokens a part, D key dim.
"""

from keras import ops

from keras_combiner.factorizations import blocks, precision, scores
from keras_combiner.factorizations.terms import direct_term


def split_blocks(x, part_size):
    """`[G, N, S, ...]` -> `[G, M, P, ...]`, blocks cut into parts; None stays None."""
    if x is None:
        return None
    heads, num_blocks, size, *features = ops.shape(x)
    return ops.reshape(x, (heads, num_blocks * (size // part_size), part_size, *features))


def fill_masked_keys(parts, key, mask):
    """Replaces keys that do not count by averages of those that do.

    Args:
        parts: `Summaries` of M parts, whose keys are averages.
        key: float tensor `[G, N, S, D]`.
        mask: bool tensor `[G, N, S]` (G may be 1), true at tokens that count.

    Returns:
        `(parts, key)`: parts without a token with the average key of those that have one, and
        tokens that do not count with the key of their part.
    """
    counts = ops.expand_dims(parts.mask, 2)  # [G, M, 1]
    shares = ops.cast(counts, precision.dtype_for(key))
    shares = shares / ops.maximum(ops.sum(shares, axis=1, keepdims=True), 1.0)
    average = ops.sum(parts.key * ops.cast(shares, key.dtype), axis=1, keepdims=True)
    parts = parts._replace(key=ops.where(counts, parts.key, average))
    heads, num_blocks, size, key_dim = ops.shape(key)
    by_part = ops.shape(parts.local_weights)[1:]  # M, P
    key = ops.where(
        ops.reshape(mask, (ops.shape(mask)[0], *by_part, 1)),
        ops.reshape(key, (heads, *by_part, key_dim)),
        ops.expand_dims(parts.key, 2),
    )
    return parts, ops.reshape(key, (heads, num_blocks, size, key_dim))


def direct_scores(weights, num_blocks, size, before, after):
    """Direct weights `[G, N, S, W]` -> `[G, N * S, N * S]`, zero for tokens out of reach."""
    weights = blocks.join(weights)
    own = ops.arange(num_blocks * size, dtype="int32") // size
    columns = [weights[:, :, k * size : (k + 1) * size] for k in range(before + 1 + after)]
    return sum(scores.place(x, own + (k - before), num_blocks) for k, x in enumerate(columns))


def direct_mask(mask, num_blocks, size, before, after, causal):
    """Broadcasts to `[G, N, S, W]`: keys that count and, if causal, are not after the query."""
    if mask is None and before:
        mask = ops.ones((1, num_blocks, size), dtype="bool")  # there is nothing beyond the ends
    direct = None
    if mask is not None:
        direct = ops.expand_dims(blocks.with_neighbors(mask, before, after), 2)  # [G, N, 1, W]
    if causal:
        width = (before + 1) * size
        past = ops.tril(ops.ones((size, width), dtype="bool"), k=width - size)
        past = ops.reshape(past, (1, 1, size, width))
        direct = past if direct is None else ops.logical_and(direct, past)
    return direct


def part_mask(parts_mask, num_blocks, parts_per_block, neighbors, first_blocks, causal):
    """Broadcasts to `[G, N, S, M]`: parts of blocks beyond those that are direct; causal: earlier.

    For three blocks, one part each, no neighbors: bidirectional `[[0 1 1] [1 0 1] [1 1 0]]`,
    causal `[[0 0 0] [1 0 0] [1 1 0]]`.
    """
    num_parts = num_blocks * parts_per_block
    own = ops.reshape(ops.arange(num_blocks, dtype="int32"), (1, num_blocks, 1, 1))
    other = ops.arange(num_parts, dtype="int32") // parts_per_block
    other = ops.reshape(other, (1, 1, 1, num_parts))
    mask = ops.less(other, own - neighbors)
    if not causal:
        mask = ops.logical_or(mask, ops.greater(other, own + neighbors))
    if first_blocks:
        mask = ops.logical_and(mask, ops.greater_equal(other, first_blocks))
    if parts_mask is not None:
        parts_mask = ops.expand_dims(ops.expand_dims(parts_mask, 1), 1)  # [G, 1, 1, M]
        mask = ops.logical_and(mask, parts_mask)
    return mask


def first_term(tokens, first_blocks, neighbors, causal, masked_cannot_dominate):
    """`terms.Term` of the first blocks: all queries of a head share them, as they do the parts.

    Args:
        tokens: `blocks.Tokens` in N blocks.
        first_blocks: int, F.
        neighbors: int, K.
        causal: bool.
        masked_cannot_dominate: bool, see `terms.Term`.
    """
    num_blocks, size = ops.shape(tokens.query)[1:3]
    count = first_blocks
    if not isinstance(num_blocks, int):  # a text may have fewer
        count = ops.minimum(first_blocks, num_blocks)
    first = tokens._replace(query=None).map(lambda x: x[:, :count])
    mask = first_mask(first.mask, num_blocks, size, count, neighbors, causal)
    beyond = (num_blocks - count) * size
    return direct_term(
        blocks.join(tokens.query),
        blocks.join(first.key),
        blocks.join(first.value),
        mask,
        lambda weights: ops.pad(weights, [[0, 0], [0, 0], [0, beyond]]),
        masked_cannot_dominate=masked_cannot_dominate,
    ).laid_out(lambda x: blocks.cut(x, num_blocks, size), blocks.join)


def first_mask(mask, num_blocks, size, first_blocks, neighbors, causal):
    """Broadcasts to `[G, N, S, F * S]`: tokens of the first blocks that are not near anyway.

    For three blocks of one token, two of them first, no neighbors: bidirectional
    `[[0 1] [1 0] [1 1]]`, causal `[[0 0] [1 0] [1 1]]`.

    Args:
        mask: bool tensor `[G, F, S]` (G may be 1), true at tokens that count, or None for all.
        num_blocks: int or tensor, N.
        size: int, S.
        first_blocks: int or tensor, F.
        neighbors: int, K.
        causal: bool, whether to leave out blocks to the right of the query's.
    """
    own = ops.reshape(ops.arange(num_blocks, dtype="int32"), (1, num_blocks, 1, 1))
    width = first_blocks * size
    block = ops.reshape(ops.arange(width, dtype="int32") // size, (1, 1, 1, width))
    is_far = ops.less(block, own - neighbors)  # [1, N, 1, F * S]
    if not causal:
        is_far = ops.logical_or(is_far, ops.greater(block, own + neighbors))
    if mask is None:
        return is_far
    mask = ops.reshape(mask, (ops.shape(mask)[0], 1, 1, width))
    return ops.logical_and(is_far, mask)
