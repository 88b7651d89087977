"""Thresholds: the probability above which an answer is given."""

import numbers

import numpy as np

NO_CHOICE = 0.5  # the threshold where none was chosen


def checked_threshold(threshold):
    """Returns a threshold rounded to float32, so that every runtime decides alike.

    Args:
        threshold: number between 0 and 1, both excluded, in float32 too.

    Returns:
        float.

    Raises:
        ValueError: for anything else.

    Example:

    >>> checked_threshold(0.75)
    0.75
    """
    is_number = isinstance(threshold, (numbers.Real, np.number)) and not isinstance(threshold, bool)
    # 0.99999999 is 1 in float32, and a model saved with 1 could not be loaded.
    rounded = float(np.float32(threshold)) if is_number and 0 < threshold < 1 else 0.0
    if not 0 < rounded < 1:
        raise ValueError(
            f"A threshold must be a number between 0 and 1, both excluded. Received: {threshold!r}."
        )
    return rounded


def best_f1(probabilities, truth):
    """Finds the threshold of the largest F1.

    Args:
        probabilities: float array `[answers]`.
        truth: bool array `[answers]`, which of the answers should be given.

    Returns:
        pair of float, the threshold (of several, the one nearest to one half) and its F1; or None
        if all or none of the answers should be given, which no threshold tells apart.

    Example:

    >>> threshold, f1 = best_f1(np.array([0.2, 0.3, 0.4]), np.array([False, True, True]))
    >>> round(threshold, 3), f1
    (0.25, 1.0)
    """
    thresholds, given, right = _candidates(probabilities, truth)
    if truth.all() or not truth.any() or not len(thresholds):
        return None
    f1 = 2 * right / (given + truth.sum())
    best = min(range(len(f1)), key=lambda i: (-f1[i], abs(thresholds[i] - 0.5)))
    return float(thresholds[best]), float(f1[best])


def least_for_precision(probabilities, truth, precision):
    """Finds the least threshold above which a share of the answers is right.

    Args:
        probabilities: float array `[answers]`.
        truth: bool array `[answers]`, which of the answers should be given.
        precision: float, the share to reach.

    Returns:
        pair of float, the threshold and the share of right answers above it, which is the largest
        that there is if none reaches `precision`; or None if all or none of the answers should be
        given.

    Example:

    >>> threshold, reached = least_for_precision(
    ...     np.array([0.2, 0.6, 0.8]), np.array([False, True, True]), precision=0.9
    ... )
    >>> round(threshold, 3), reached
    (0.4, 1.0)
    """
    thresholds, given, right = _candidates(probabilities, truth)
    if truth.all() or not truth.any() or not len(thresholds):
        return None
    reached = right / given
    enough = np.flatnonzero(reached >= min(precision, reached.max()))
    return float(thresholds[enough[-1]]), float(reached[enough[-1]])


def _candidates(probabilities, truth):
    """Thresholds halfway between neighbors, descending, with answers above and right ones."""
    probabilities = np.asarray(probabilities, "float32")  # as models return them
    order = np.argsort(-probabilities, kind="stable")
    values, right = probabilities[order], np.cumsum(truth[order])
    is_last = np.append(values[1:] != values[:-1], True)  # equal ones are given together
    below = np.append(values[1:], np.float32(0))
    halfway = (values + below) / np.float32(2)
    halfway = np.where(halfway < values, halfway, below)
    is_last &= halfway > 0
    return halfway[is_last], np.flatnonzero(is_last) + 1, right[is_last]
