"""The text as a grid: rows of consecutive tokens, and the columns that they make.

Legend: G batch * heads, N rows, W columns, D key dim, V value dim. A grid is laid out by rows,
`[G, N, W, ...]`, or by columns, `[G, W, N, ...]`; a *line* is a row or a column, whichever the
layout puts first: I lines of J cells, `[G, I, J, ...]`.
"""

import numpy as np
from keras import ops

from keras_combiner.factorizations import blocks, precision, products
from keras_combiner.factorizations.softmax import masked_softmax
from keras_combiner.factorizations.summaries import (
    Summaries,
    below_minimum,
    entropy,
    variance_of_runs,
)
from keras_combiner.factorizations.terms import part_term


def swap_lines(x):
    """`[G, I, J, ...]` -> `[G, J, I, ...]`: rows to columns and back; None stays None."""
    return None if x is None else ops.swapaxes(x, 1, 2)


def cells(length, width):
    """`[N, W]`, the position of every cell; -1 beyond the text.

    For `length=5` and `width=3`: `[[0 1 2] [3 4 -1]]`.
    """
    num_rows = -(-length // width)
    position = np.arange(num_rows * width).reshape((num_rows, width))
    return np.where(position < length, position, -1)


def positions_of(line):
    """tuple of int, the positions among the cells `line`: those that are not beyond the text."""
    return tuple(int(j) for j in line if j >= 0)


def cross(position, i, causal=False):
    """Positions of the row and of the column that position `i` lies in, a sorted tuple of int.

    Args:
        position: int array `[N, W]` of `cells`.
        i: int.
        causal: bool, whether to leave out what comes after `i`.
    """
    row, column = divmod(i, position.shape[1])
    found = set(positions_of(position[row])) | set(positions_of(position[:, column]))
    return tuple(sorted(j for j in found if j <= i or not causal))


def summarize_runs(query, key, value, mask, pooling, after=False):
    """Summarizes, for every cell, the run of cells before it in its line (or after it).

    Like `summaries.summarize`, with one part a cell. Means and attention run over each line under
    a triangular mask, maxima by doubling: O(J) for a cell.

    Args:
        query: float tensor `[G, I, J, D]`, already divided by sqrt(D).
        key: float tensor `[G, I, J, D]`.
        value: float tensor `[G, I, J, V]`.
        mask: bool tensor `[G, I, J]` (G may be 1), true at cells that count, or None for all.
        pooling: `summaries.Pooling`.
        after: bool, whether to summarize the cells after each cell instead.

    Returns:
        `Summaries` with an axis more: key `[G, I, J, D]`, value `[G, I, J, V]`, bias `[G, I, J]`
        or None, local weights `[G, I, J, J]`, mask `[G, I, J]` (G may be 1), variance
        `[G, I, J, D]` or None.
    """
    length = ops.shape(key)[2]
    pattern = blocks.pattern(length, "after" if after else "before")
    run_mask = blocks.mask_pairs(mask, pattern)  # [G, I, J, J]
    query_features, key_features = pooling.features(query, key)
    if not pooling.averages:
        run_query = _running_max(query_features, mask, after)
    else:
        count = ops.cast(run_mask, precision.dtype_for(query))
        shares = count / ops.maximum(ops.sum(count, axis=-1, keepdims=True), 1.0)
        shares = ops.cast(shares, query.dtype)
        run_query = products.matmul(shares, query_features, "part_query")
    logits = products.matmul(run_query, key, "local_logits", transpose_y=True)
    local_weights = masked_softmax(logits, run_mask)
    weights = ops.cast(local_weights, value.dtype)
    run_is_filled = ops.any(run_mask, axis=-1)
    bias = variance = None
    if not pooling.averages:
        run_key = _running_max(key_features, mask, after)
    elif pooling.name == "mean":
        run_key = products.matmul(shares, key_features, "part_key")
    else:
        run_key = products.matmul(weights, key, "part_key")
        bias = entropy(local_weights)
        if pooling.has_variance:
            # The end of the line is in every run, so that none depends on what is beyond its cell.
            is_end = ops.logical_not(run_is_filled)
            is_end = is_end if mask is None else ops.logical_and(mask, is_end)
            end = ops.where(ops.expand_dims(is_end, -1), key, ops.zeros_like(key))
            end = ops.sum(end, axis=2, keepdims=True)
            variance = variance_of_runs(local_weights, key, end)
    return Summaries(
        key=run_key,
        value=products.matmul(weights, value, "part_value"),
        bias=bias,
        local_weights=local_weights,
        mask=run_is_filled,
        query=run_query,
        counts=None,
        variance=variance,
    )


def crossing_term(query, parts, earlier):
    """`terms.Term` of the parts that stand in a cell's own line, except for the cell's own.

    Args:
        query: float tensor `[G, I, J, D]`, already divided by sqrt(D).
        parts: `Summaries` as by `summarize_runs`, laid out by the lines that they are parts of:
            key `[G, J, I, D]`, mask `[G, J, I]` or None and so on.
        earlier: bool, whether to leave out what stands after a cell as well.
    """
    bias = None if parts.bias is None else ops.expand_dims(swap_lines(parts.bias), 2)
    pattern = blocks.pattern(ops.shape(query)[2], "before" if earlier else "other")
    return part_term(
        query,
        swap_lines(parts.key),
        swap_lines(parts.value),
        blocks.mask_pairs(swap_lines(parts.mask), pattern),
        bias,
        lambda weights: _share(weights, parts.local_weights),
        swap_lines(parts.variance),
    )


def by_rows(term):
    """The `terms.Term` by rows of one by columns."""

    def in_order_of_rows(matrix, columns, rows):
        for _ in ("queries", "keys"):
            matrix = ops.swapaxes(matrix, 1, 2)
            heads, cells, _ = ops.shape(matrix)
            matrix = swap_lines(ops.reshape(matrix, (heads, columns, rows, cells)))
            matrix = ops.reshape(matrix, (heads, cells, cells))
        return matrix

    def scores_by_rows(weights):
        _, columns, rows, _ = ops.shape(term.logits)
        return in_order_of_rows(term.scores(swap_lines(weights)), columns, rows)

    return term.laid_out(swap_lines, swap_lines)._replace(
        mask=swap_lines(term.mask), bias=swap_lines(term.bias), scores=scores_by_rows
    )


def _share(weights, local_weights):
    """Weights `[G, I, J, J]`, local `[G, J, I, I]` -> `[G, I * J, I * J]`, of tokens by lines.

    Cell (i, j) gives cell (x, y) the weight of part (i, y), times that of x in the part.
    """
    heads, lines, length, _ = ops.shape(weights)
    local = ops.transpose(local_weights, (0, 2, 3, 1))  # [G, I, I, J]
    local = ops.reshape(local, (heads * lines, 1, lines, length))
    weights = ops.reshape(weights, (heads * lines, length, 1, length))
    return ops.reshape(weights * local, (heads, lines * length, lines * length))


def _running_max(x, mask, after):
    """For every cell of `[G, I, J, D]` the maximum over the cells before it (or after it).

    Where there is none, or none that counts, it is finite and has no meaning. For a line `a b c`:
    `_ a max(a, b)`; after: `max(b, c) c _`.
    """
    floor = below_minimum(x)  # [G, I, 1, D]
    if mask is not None:
        x = ops.where(ops.expand_dims(mask, -1), x, floor)
    length = ops.shape(x)[2]

    def shift(x, step):
        filled = ops.tile(floor, (1, 1, step, 1))  # `repeat` traces 20 operations
        if after:
            return ops.concatenate([x[:, :, step:], filled], axis=2)
        return ops.concatenate([filled, x[:, :, : length - step]], axis=2)

    x = shift(x, 1)
    step = 1
    while step < length:
        x = ops.maximum(x, shift(x, step))
        step *= 2
    return x
