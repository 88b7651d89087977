"""The plans "axial_vertical" and "axial_horizontal": rows and columns of a grid.

Both attend to the own row and column directly; the cells of all other columns (or rows) make two
parts each.
"""

import keras

from keras_combiner.factorizations import blocks, grids
from keras_combiner.factorizations.factorization import Factorization, Support
from keras_combiner.factorizations.terms import block_term


class _Axial(Factorization):
    """What both plans share; a subclass says what the parts are.

    Shapes as in `grids`.
    """

    def __init__(self, width=64):
        blocks.check_size("width", width, "the number of columns of the grid")
        self.width = width

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {"width": self.width}

    def support(self, length, causal=False, choice=None):
        """See `Factorization.support`."""
        position = grids.cells(length, self.width)
        supports = []
        for i in range(length):
            runs = self._parts(position, *divmod(i, self.width), causal)
            parts = [grids.positions_of(run) for run in runs]
            direct = grids.cross(position, i, causal)
            supports.append(Support(direct, tuple(part for part in parts if part)))
        return supports

    def terms(self, tokens, options, learned):
        """See `Factorization.terms`."""
        length = self.static_length(tokens.query)
        rows = tokens.in_blocks(min(self.width, length))  # [G, N, W, D]
        terms = [block_term(rows, options.causal)]
        if length > self.width:
            columns = rows.map(grids.swap_lines)  # [G, W, N, D]
            terms.append(grids.by_rows(block_term(columns, options.causal, own=False)))
            if options.pooling.has_parts:
                terms += self._part_terms(rows, columns, options)
        return terms

    def _parts(self, position, row, column, causal):
        """The parts of a query: lists of cells out of `position`, `[N, W]`; some may be empty."""
        raise NotImplementedError

    def _part_terms(self, rows, columns, options):
        """The `terms.Term`s of all parts; tokens by rows and by columns."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="keras_combiner")
class AxialVertical(_Axial):
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

    def _parts(self, position, row, column, causal):
        parts = []
        for other in range(self.width):
            if other != column:
                parts.append(position[:row, other])
                if not causal:
                    parts.append(position[row + 1 :, other])
        return parts

    def _part_terms(self, rows, columns, options):
        for below in (False,) if options.causal else (False, True):
            runs = grids.summarize_runs(*columns, options.pooling, after=below)
            yield grids.crossing_term(rows.query, runs, earlier=False)


@keras.saving.register_keras_serializable(package="keras_combiner")
class AxialHorizontal(_Axial):
    """Attends to the own row and column directly, and to the left and right of every other row.

    The sequence is laid out row by row as a grid of N = ceil(T / W) rows and W columns. The cells
    of every other row to the left of the query's column are one part, those to the right of it
    another. Causal queries see their row and column up to themselves, and earlier rows. The
    pattern needs a static length. Cost: O(T (W + N)), which is O(T sqrt(T)) for W near sqrt(T).

    Args:
        width: int, W, at least 1.

    Raises:
        ValueError: if `width` is not an int of at least 1.

    Example:

    >>> AxialHorizontal(width=3).support(length=9)[4]
    Support(direct=(1, 3, 4, 5, 7), parts=((0,), (2,), (6,), (8,)))
    >>> AxialHorizontal(width=3).support(length=9, causal=True)[6]
    Support(direct=(0, 3, 6), parts=((1, 2), (4, 5)))

    Source: Ren et al., NeurIPS 2021, section 4.3 (Combiner-Axial, horizontal).
    """

    def _parts(self, position, row, column, causal):
        parts = []
        for other in range(row if causal else len(position)):
            if other != row:
                parts += [position[other, :column], position[other, column + 1 :]]
        return parts

    def _part_terms(self, rows, columns, options):
        for right in (False, True):
            runs = grids.summarize_runs(*rows, options.pooling, after=right)
            yield grids.by_rows(grids.crossing_term(columns.query, runs, earlier=options.causal))
