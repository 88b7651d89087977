"""Markdown tables, and numbers as they stand in them."""

import statistics


def table(titles, rows):
    """Returns the lines of a table.

    Args:
        titles: list of str, of the columns.
        rows: iterable of lists of str, the cells.
    """
    return [
        f"| {' | '.join(titles)} |",
        f"|{' --- |' * len(titles)}",
        *(f"| {' | '.join(cells)} |" for cells in rows),
    ]


def mean_and_spread(values, digits=3):
    """`[0.1, 0.3]` -> "0.200 ± 0.141": mean and standard deviation; the mean alone of one value."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {spread(values):.{digits}f}" if len(values) > 1 else mean


def spread(values):
    """Returns the standard deviation; 0 of one value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0
