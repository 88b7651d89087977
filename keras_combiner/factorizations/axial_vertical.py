"""The plan "axial_vertical": the own row and column directly, other columns in two parts."""

import keras

from keras_combiner.factorizations import blocks, grids
from keras_combiner.factorizations.factorization import Factorization, Support


@keras.saving.register_keras_serializable(package="keras_combiner")
class AxialVertical(Factorization):
    """Attends to the own row and column directly, and to what is above and below in the others.

    The sequence is laid out row by row as a grid of N = ceil(T / W) rows and W columns. The cells
    of every other column that are above the query's row are one part, those below it another.
    Causal queries see their row and column up to themselves, and what is above. The pattern needs
    a static length. Cost: O(T (W + N)), which is O(T sqrt(T)) for W near sqrt(T).

    Args:
        width: int, W, at least 1.

    Raises:
        ValueError: if `width` is not an int of at least 1.

    Example:

    >>> AxialVertical(width=3).support(length=9)[4]
    Support(direct=(1, 3, 4, 5, 7), parts=((0,), (6,), (2,), (8,)))
    >>> AxialVertical(width=3).support(length=9, causal=True)[7]
    Support(direct=(1, 4, 6, 7), parts=((0, 3), (2, 5)))

    Source: Ren et al., NeurIPS 2021, section 4.3 (Combiner-Axial, vertical).
    """

    def __init__(self, width=64):
        blocks.check_size("width", width, "the number of columns of the grid")
        self.width = width

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {"width": self.width}

    def support(self, length, causal=False):
        """See `Factorization.support`."""
        position = grids.cells(length, self.width)
        supports = []
        for i in range(length):
            row, column = divmod(i, self.width)
            parts = []
            for other in range(self.width):
                if other != column:
                    parts.append(position[:row, other])
                    if not causal:
                        parts.append(position[row + 1 :, other])
            parts = [grids.positions_of(part) for part in parts]
            direct = grids.cross(position, i, causal)
            supports.append(Support(direct, tuple(part for part in parts if part)))
        return supports

    def attend_heads(
        self, query, key, value, padding_mask, causal, pooling, dropout, weights, inputs
    ):
        """See `Factorization.attend_heads`. Shapes as in `grids`."""
        length = self.static_length(query)
        width = min(self.width, length)
        rows = [blocks.split(x, width) for x in (query, key, value)]  # [G, N, W, D]
        row_mask = blocks.split_mask(padding_mask, length, width)  # [G, N, W] or None
        terms = [grids.line_term(*rows, row_mask, causal)]
        if length > width:
            columns = [grids.turn(x) for x in rows]  # [G, W, N, D]
            column_mask = grids.turn(row_mask)
            terms.append(grids.line_term(*columns, column_mask, causal, by_columns=True, own=False))
            runs_below = (False,) if causal else (False, True)
            for below in runs_below if pooling.has_parts else ():
                runs = grids.summarize_runs(*columns, column_mask, pooling, after=below)
                terms.append(grids.part_term(rows[0], runs, earlier=False))
        return grids.attend(terms, length, dropout)
