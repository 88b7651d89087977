"""Whether one row of a table is better than another, or only luckier."""

import math

BETTER, WORSE, NOT_SETTLED = "better", "worse", "not settled"


def standard_error(*accuracies, count):
    """The standard error of an accuracy, or of the difference of two, over `count` test documents.

    That both are measured on the same documents is left out: it makes the error smaller.
    """
    return math.sqrt(sum(x * (1 - x) for x in accuracies) / count)


def verdict(values, others, count):
    """Returns `BETTER` or `WORSE` if every seed says so by itself, else `NOT_SETTLED`.

    A seed says so by a difference of more than two standard errors.

    Args:
        values: list of float, the accuracy of a row, one a seed.
        others: list of float, that of its peer.
        count: int, test documents.

    Returns:
        str.
    """
    signs = [_sign(x, y, count) for x, y in zip(values, others, strict=True)]
    if all(sign > 0 for sign in signs):
        return BETTER
    return WORSE if all(sign < 0 for sign in signs) else NOT_SETTLED


def _sign(value, other, count):
    if abs(value - other) <= 2 * standard_error(value, other, count=count):
        return 0
    return 1 if value > other else -1
