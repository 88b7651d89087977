"""Position tables for longer texts than a model was trained on."""

import numpy as np

METHODS = ("tile", "interpolate")


def extend_positions(table, length, method="tile"):
    """Makes a position table of another length.

    Args:
        table: float array `[positions, features]`.
        length: int, rows wanted. Fewer than there are: the first ones.
        method: "tile", the table repeated, so that near tokens differ as they did in training; or
            "interpolate", the table stretched to the length, so that every position in the text
            lies between known ones, and near tokens differ by less.

    Returns:
        float array `[length, features]`.

    Raises:
        ValueError: for an unknown method, or a length that is not an int of at least 1.

    Example:

    >>> table = np.array([[0.0], [10.0]])
    >>> extend_positions(table, 4)[:, 0].tolist()
    [0.0, 10.0, 0.0, 10.0]
    >>> extend_positions(table, 3, "interpolate")[:, 0].tolist()
    [0.0, 5.0, 10.0]

    Source: tiling as in Beltagy et al., "Longformer: The Long-Document Transformer", 2020,
    section 5, https://arxiv.org/abs/2004.05150.
    """
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise ValueError(f"`sequence_length` must be an int of at least 1. Received: {length!r}.")
    check_method(method)
    known = len(table)
    if length <= known:
        return table[:length]
    if method == "tile":
        return table[np.arange(length) % known]
    places = np.linspace(0, known - 1, length)
    below = np.minimum(places.astype(int), known - 2) if known > 1 else np.zeros(length, int)
    share = (places - below)[:, np.newaxis]
    above = table[np.minimum(below + 1, known - 1)]
    return ((1 - share) * table[below] + share * above).astype(table.dtype)


def check_method(method):
    """Raises a ValueError for a method that is not one of `METHODS`."""
    if method not in METHODS:
        raise ValueError(
            f"`positions` must be one of {', '.join(map(repr, METHODS))}. Received: {method!r}."
        )
