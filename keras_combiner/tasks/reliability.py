"""Reliability: whether answers are right as often as their probabilities say."""

import dataclasses

import numpy as np

NUM_BINS = 15


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Answers in bins of equal width by their probability, with the share that is right in each.

    Attributes:
        counts: tuple of int, answers in each bin `(i / bins, (i + 1) / bins]`; 0 is in the first.
        confidences: tuple of float, mean probability of each bin; None for an empty one.
        shares: tuple of float, share of each bin's answers that are right; None for an empty one.
        weights: tuple of float, the sum of the weights of each bin's answers, by which means and
            shares are weighted; None if every answer counts once.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
    https://arxiv.org/abs/1706.04599.
    """

    counts: tuple
    confidences: tuple
    shares: tuple
    weights: tuple | None = None

    @classmethod
    def of(cls, probabilities, right, bins=NUM_BINS, weights=None):
        """Sorts answers into bins.

        Args:
            probabilities: float array `[answers]`, how probable each was said to be.
            right: bool array `[answers]`, whether it is right.
            bins: int.
            weights: float array `[answers]`, how much each counts; None for all alike.

        Returns:
            `Reliability`.

        Example:

        >>> table = Reliability.of([0.9, 0.8, 0.3], [True, False, False], bins=2)
        >>> table.counts, table.shares
        ((1, 2), (0.0, 0.5))
        """
        probabilities = np.asarray(probabilities, "float64")
        places = np.searchsorted(np.arange(1, bins) / bins, probabilities, side="left")
        each = np.ones(len(probabilities)) if weights is None else np.asarray(weights, "float64")
        counts, totals, said, so = (
            np.bincount(places, x, minlength=bins)
            for x in (None, each, each * probabilities, each * np.asarray(right, "float64"))
        )
        means = [
            tuple(float(x / n) if n else None for x, n in zip(sums, totals, strict=True))
            for sums in (said, so)
        ]
        weights = None if weights is None else tuple(map(float, totals))
        return cls(tuple(map(int, counts)), *means, weights)

    @property
    def error(self):
        """float, the expected calibration error (ECE): the mean gap of probability and right share.

        Each bin weighs as much as its answers.

        >>> table = Reliability.of([0.9, 0.8, 0.3], [True, False, False], bins=2)
        >>> round(table.error, 3)  # 1/3 * |0.3 - 0| + 2/3 * |0.85 - 0.5|
        0.333
        """
        totals = self.counts if self.weights is None else self.weights
        bins = zip(totals, self.confidences, self.shares, strict=True)
        gaps = [n * abs(said - so) for n, said, so in bins if n]
        return sum(gaps) / (sum(totals) or 1)
