"""The plan "axial_rowmajor": the own row directly, other rows as the query's column sees them."""

import keras
from keras import ops

from keras_combiner.factorizations import blocks, grids, products
from keras_combiner.factorizations.factorization import CellPart, Factorization, Support
from keras_combiner.factorizations.softmax import masked_softmax
from keras_combiner.factorizations.summaries import (
    Summaries,
    entropy,
    max_pool,
    variance_of_runs,
)
from keras_combiner.factorizations.terms import block_term
from keras_combiner.factorizations.weight_spec import WeightSpec

NORM_EPSILON = 1e-5  # keeps the normalization of a constant vector finite


@keras.saving.register_keras_serializable(package="keras_combiner")
class AxialRowmajor(Factorization):
    """Attends to the own row directly, and to every other row through the cell in its own column.

    The sequence is laid out row by row as a grid of N = ceil(T / W) rows and W columns. As with
    blocks, every other row is a part; but its local distribution is made by the query of the cell
    where the row crosses the column of the query, so that queries of different columns see
    different summaries of it. Where that cell is padding or beyond the text, the maximum over the
    row's queries takes its place. Causal queries see their row up to themselves, and earlier rows.
    The pattern needs a static length. Cost: O(T (W + N)), which is O(T sqrt(T)) for W near
    sqrt(T).

    Summaries: since neither query nor key is pooled, "max", "mean" and "deepset" are the same
    here; "variational" adds the entropy of the local distribution, and "gaussian" the variance of
    the row's keys under it as well.

    Args:
        width: int, W, at least 1.
        row_summary: str, what the key of a part is: "wsum", the average of the row's keys under
            the local distribution; or "proj", which is learned: the values of all heads under
            their local distributions are projected to the features of the layer's input and
            added to it at the cell, normalized over features, and projected to every head's key.

    Raises:
        ValueError: if `width` is not an int of at least 1, for another `row_summary`, and by
            `attend` if "proj" is given no `inputs`.

    Example:

    >>> AxialRowmajor(width=2).support(length=4)[3]
    Support(direct=(2, 3), parts=(CellPart(positions=(0, 1), cell=1, learned_key=False),))

    Source: Ren et al., NeurIPS 2021, section 4.3 (Combiner-Axial, rowmajor); "proj" is the
    authors' choice.
    """

    pools_parts = False

    def __init__(self, width=64, row_summary="wsum"):
        blocks.check_size("width", width, "the number of columns of the grid")
        if row_summary not in ("wsum", "proj"):
            raise ValueError(
                "`row_summary` must be 'wsum', the average of a row's keys, or 'proj', a learned "
                f"projection. Received: {row_summary!r}."
            )
        self.width = width
        self.row_summary = row_summary

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {"width": self.width, "row_summary": self.row_summary}

    def support(self, length, causal=False, choice=None):
        """See `Factorization.support`."""
        rows = [grids.positions_of(row) for row in grids.cells(length, self.width)]
        supports = []
        for i in range(length):
            own, column = divmod(i, self.width)
            direct = tuple(j for j in rows[own] if j <= i or not causal)
            parts = [
                CellPart(row, r * self.width + column, learned_key=self.row_summary == "proj")
                for r, row in enumerate(rows)
                if r < own or (r > own and not causal)
            ]
            supports.append(Support(direct, tuple(parts)))
        return supports

    def weight_specs(self, num_heads, key_dim, value_dim, input_dim):
        """See `Factorization.weight_specs`."""
        if self.row_summary == "wsum":
            return {}
        if input_dim is None:
            raise ValueError(
                "AxialRowmajor with row_summary='proj' needs `inputs`, the tensor [batch, length, "
                "features] that the heads were projected from. Received: None."
            )
        return {
            "row_value_kernel": WeightSpec((num_heads * value_dim, input_dim)),
            "row_norm_scale": WeightSpec((input_dim,), "ones"),
            "row_norm_offset": WeightSpec((input_dim,), "zeros"),
            "row_key_kernel": WeightSpec((input_dim, num_heads * key_dim)),
        }

    def terms(self, tokens, options, learned):
        """See `Factorization.terms`. Shapes as in `grids`."""
        length = self.static_length(tokens.query)
        rows = tokens.in_blocks(min(self.width, length))  # [G, N, W, D]
        terms = [block_term(rows, options.causal)]
        if length > self.width and options.pooling.has_parts:
            parts = _summarize_rows(*rows, options.pooling)
            if self.row_summary == "proj":
                parts = parts._replace(key=_projected_key(parts, tokens.mask, learned))
            columns = grids.swap_lines(rows.query)
            terms.append(grids.by_rows(grids.crossing_term(columns, parts, options.causal)))
        return terms


def _summarize_rows(query, key, value, mask, pooling):
    """`Summaries` of every row as each of its cells sees it: key `[G, N, W, D]` and so on."""
    row_mask = local_mask = None
    if mask is not None:
        pooled = ops.expand_dims(max_pool(query, mask), 2)  # [G, N, 1, D]
        query = ops.where(ops.expand_dims(mask, -1), query, pooled)
        local_mask = ops.expand_dims(mask, 2)
        row_mask = ops.any(mask, axis=-1, keepdims=True)  # [G, N, 1]
    logits = products.matmul(query, key, "local_logits", transpose_y=True)  # [G, N, W, W]
    local_weights = masked_softmax(logits, local_mask)
    weights = ops.cast(local_weights, value.dtype)
    row_key = products.matmul(weights, key, "part_key")
    variance = None
    if pooling.has_variance:
        center = ops.mean(key, axis=2, keepdims=True)
        variance = variance_of_runs(local_weights, key, center)
    return Summaries(
        key=row_key,
        value=products.matmul(weights, value, "part_value"),
        bias=entropy(local_weights) if pooling.weighs_keys else None,
        local_weights=local_weights,
        mask=row_mask,
        query=query,
        counts=None,
        variance=variance,
    )


def _projected_key(rows, padding_mask, learned):
    """The learned keys of "proj" for every cell, `[G, N, W, D]`.

    Args:
        rows: `Summaries` of `_summarize_rows`.
        padding_mask: bool tensor `[G, T]` or None.
        learned: `Learned`, with the weights of `AxialRowmajor.weight_specs`.
    """
    weights, inputs = learned
    _, num_rows, width, key_dim = ops.shape(rows.key)
    value_dim = rows.value.shape[3]
    batch, length, _ = ops.shape(inputs)
    num_heads = weights["row_value_kernel"].shape[0] // value_dim
    num_cells = num_rows * width
    inputs = ops.cast(inputs, rows.value.dtype)
    if padding_mask is not None:  # which is the same for every head
        counts = ops.reshape(padding_mask, (batch, num_heads, length))[:, 0]
        inputs = ops.where(ops.expand_dims(counts, -1), inputs, ops.zeros_like(inputs))
    inputs = ops.pad(inputs, [[0, 0], [0, num_cells - length], [0, 0]])
    value = ops.reshape(rows.value, (batch, num_heads, num_cells, value_dim))
    value = ops.reshape(
        ops.transpose(value, (0, 2, 1, 3)), (batch, num_cells, num_heads * value_dim)
    )
    cells = inputs + ops.matmul(value, ops.cast(weights["row_value_kernel"], value.dtype))
    cells = ops.layer_normalization(
        cells, weights["row_norm_scale"], weights["row_norm_offset"], epsilon=NORM_EPSILON
    )
    key = ops.matmul(cells, ops.cast(weights["row_key_kernel"], cells.dtype))
    key = ops.reshape(key, (batch, num_cells, num_heads, key_dim))
    key = ops.transpose(key, (0, 2, 1, 3))
    return ops.reshape(key, (batch * num_heads, num_rows, width, key_dim))
