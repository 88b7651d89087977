"""The text as a grid: rows of consecutive tokens, and the columns that they make.

Legend: G batch * heads, N rows, W columns, D key dim, V value dim. A grid is laid out by rows,
`[G, N, W, ...]`, or by columns, `[G, W, N, ...]`; a *line* is a row or a column, whichever the
layout puts first: I lines of J cells, `[G, I, J, ...]`.
"""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_combiner.factorizations import blocks, precision, products, scores
from keras_combiner.factorizations.softmax import joint_softmax
from keras_combiner.factorizations.summaries import Summaries, entropy, floor_of_maxima


def turn(x):
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
        or None, local weights `[G, I, J, J]`, mask `[G, I, J]` (G may be 1).
    """
    length = ops.shape(key)[2]
    run_mask = _and(mask, _pattern(length, "after" if after else "before"))  # [G, I, J, J]
    query_features, key_features = pooling.features(query, key)
    if not pooling.averages:
        run_query = _running_max(query_features, mask, after)
    else:
        count = ops.cast(run_mask, precision.dtype_for(query))
        shares = count / ops.maximum(ops.sum(count, axis=-1, keepdims=True), 1.0)
        shares = ops.cast(shares, query.dtype)
        run_query = products.matmul(shares, query_features, "part_query")
    logits = products.matmul(run_query, key, "local_logits", transpose_y=True)
    (local_weights,) = joint_softmax([(logits, run_mask)])
    weights = ops.cast(local_weights, value.dtype)
    bias = None
    if not pooling.averages:
        run_key = _running_max(key_features, mask, after)
    elif pooling.name == "mean":
        run_key = products.matmul(shares, key_features, "part_key")
    else:
        run_key = products.matmul(weights, key, "part_key")
        bias = entropy(local_weights)
    return Summaries(
        key=run_key,
        value=products.matmul(weights, value, "part_value"),
        bias=bias,
        local_weights=local_weights,
        mask=ops.any(run_mask, axis=-1),
        query=run_query,
        counts=None,
    )


class Term(NamedTuple):
    """A group of logits for every cell: its own line's tokens, or parts that stand in its line.

    Attributes:
        logits: float tensor `[G, I, J, J]`.
        mask: bool tensor that broadcasts to the logits, or None.
        value: float tensor `[G, I, J, V]`, values that the logits belong to.
        by_columns: bool, whether lines are columns.
        bias: float32 tensor `[G, I, 1, J]` to add to the logits, or None.
        local_weights: float tensor `[G, J, I, I]` of parts, laid out by the lines that they are
            parts of, or None where logits belong to tokens.
    """

    logits: Any
    mask: Any
    value: Any
    by_columns: bool
    bias: Any = None
    local_weights: Any = None


def line_term(query, key, value, mask, causal, by_columns=False, own=True):
    """`Term` of the tokens in a cell's own line.

    Args:
        query: float tensor `[G, I, J, D]`, already divided by sqrt(D).
        key: float tensor `[G, I, J, D]`.
        value: float tensor `[G, I, J, V]`.
        mask: bool tensor `[G, I, J]` (G may be 1), true at cells that count, or None for all.
        causal: bool, whether to leave out what comes after a cell.
        by_columns: bool, whether lines are columns.
        own: bool, whether a cell attends to itself.
    """
    length = ops.shape(key)[2]
    if own:
        pattern = _pattern(length, "to") if causal else None
    else:
        pattern = _pattern(length, "before" if causal else "other")
    logits = products.matmul(query, key, "direct_logits", transpose_y=True)
    return Term(logits, _and(mask, pattern), value, by_columns)


def part_term(query, parts, earlier, by_columns=False):
    """`Term` of the parts that stand in a cell's own line, but for the cell's own.

    Args:
        query: float tensor `[G, I, J, D]`, already divided by sqrt(D).
        parts: `Summaries` as by `summarize_runs`, laid out by the lines that they are parts of:
            key `[G, J, I, D]`, mask `[G, J, I]` or None and so on.
        earlier: bool, whether to leave out what stands after a cell as well.
        by_columns: bool, whether lines (those of `query`) are columns.
    """
    logits = products.matmul(query, turn(parts.key), "part_logits", transpose_y=True)
    bias = None if parts.bias is None else ops.expand_dims(turn(parts.bias), 2)
    pattern = _pattern(ops.shape(query)[2], "before" if earlier else "other")
    mask = _and(turn(parts.mask), pattern)
    return Term(logits, mask, turn(parts.value), by_columns, bias, parts.local_weights)


def attend(terms, length, dropout):
    """Attends to all terms together: the result of `Factorization.attend_heads`.

    Args:
        terms: list of `Term`.
        length: int, number of tokens.
        dropout: callable on attention weights, or None.
    """

    def by_rows(x, term):
        return turn(x) if term.by_columns else x

    weights = joint_softmax(
        [tuple(by_rows(x, term) for x in (term.logits, term.mask, term.bias)) for term in terms]
    )
    used = weights if dropout is None else [dropout(x) for x in weights]
    outputs = [
        by_rows(_mix(by_rows(ops.cast(x, term.value.dtype), term), term), term)
        for x, term in zip(used, terms, strict=True)
    ]
    outputs = sum(outputs[1:], outputs[0])  # [G, N, W, V]

    def attention_scores():
        matrix = sum(_matrix(x, term) for x, term in zip(weights, terms, strict=True))
        return ops.cast(matrix[:, :length, :length], outputs.dtype)

    return blocks.merge(outputs, length), attention_scores


def _mix(weights, term):
    """Weights of a term, laid out by its lines, times its values."""
    name = "direct_outputs" if term.local_weights is None else "part_outputs"
    return products.matmul(weights, term.value, name)


def _matrix(weights, term):
    """Weights `[G, N, W, C]` of a term -> effective weights of all tokens, `[G, N * W, N * W]`."""
    weights = turn(weights) if term.by_columns else weights
    heads, lines, length, _ = ops.shape(weights)  # [G, I, J, J]
    if term.local_weights is None:
        own = np.arange(lines * length) // length
        matrix = scores.place(scores.flatten_blocks(weights), own, lines)
    else:
        # A cell (i, j) gives cell (x, y) the weight of part (i, y), times that of x in the part.
        local = ops.transpose(term.local_weights, (0, 2, 3, 1))  # [G, I, I, J]
        local = ops.reshape(local, (heads * lines, 1, lines, length))
        weights = ops.reshape(weights, (heads * lines, length, 1, length))
        matrix = ops.reshape(weights * local, (heads, lines * length, lines * length))
    if term.by_columns:
        for _ in ("queries", "keys"):
            matrix = ops.swapaxes(matrix, 1, 2)
            matrix = ops.reshape(matrix, (heads, lines, length, lines * length))
            matrix = ops.reshape(turn(matrix), (heads, lines * length, lines * length))
    return matrix


def _pattern(length, name):
    """bool `[J, J]`: which cells of a line (second axis) a cell has to do with.

    For 3 cells: "other" `[[0 1 1] [1 0 1] [1 1 0]]`, "before" `[[0 0 0] [1 0 0] [1 1 0]]`, "to"
    `[[1 0 0] [1 1 0] [1 1 1]]`, "after" `[[0 1 1] [0 0 1] [0 0 0]]`.
    """
    cell, other = np.arange(length)[:, np.newaxis], np.arange(length)
    return {
        "to": other <= cell,
        "other": other != cell,
        "before": other < cell,
        "after": other > cell,
    }[name]


def _and(mask, pattern):
    """`[G, I, J]` and `[J, J]`, either may be None -> broadcasts to `[G, I, J, J]`, or None."""
    if pattern is not None:
        pattern = ops.convert_to_tensor(pattern[np.newaxis, np.newaxis])
    if mask is None:
        return pattern
    mask = ops.expand_dims(mask, 2)
    return mask if pattern is None else ops.logical_and(mask, pattern)


def _running_max(x, mask, after):
    """For every cell of `[G, I, J, D]` the maximum over the cells before it (or after it).

    Where there is none, or none that counts, it is finite and has no meaning. For a line `a b c`:
    `_ a max(a, b)`; after: `max(b, c) c _`.
    """
    floor = floor_of_maxima(x)  # [G, I, 1, D]
    if mask is not None:
        x = ops.where(ops.expand_dims(mask, -1), x, floor)
    length = ops.shape(x)[2]

    def shift(x, step):
        filled = ops.repeat(floor, step, axis=2)
        if after:
            return ops.concatenate([x[:, :, step:], filled], axis=2)
        return ops.concatenate([filled, x[:, :, : length - step]], axis=2)

    x = shift(x, 1)
    step = 1
    while step < length:
        x = ops.maximum(x, shift(x, step))
        step *= 2
    return x
