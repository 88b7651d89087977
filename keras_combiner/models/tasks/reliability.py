"""Reliability: whether answers are right as often as their probabilities say."""

import dataclasses

import numpy as np

NUM_BINS = 15


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Answers in bins of equal width by their probability: what was said, and what was so.

    Attributes:
        counts: tuple of int, answers in each bin `(i / bins, (i + 1) / bins]`; 0 is in the first.
        confidences: tuple of float, mean probability of each bin; None for an empty one.
        shares: tuple of float, share of each bin's answers that are right; None for an empty one.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
    https://arxiv.org/abs/1706.04599.
    """

    counts: tuple
    confidences: tuple
    shares: tuple

    @classmethod
    def of(cls, probabilities, right, bins=NUM_BINS):
        """Sorts answers into bins.

        Args:
            probabilities: float array `[answers]`, how probable each was said to be.
            right: bool array `[answers]`, whether it is right.
            bins: int.

        Returns:
            `Reliability`.

        Example:

        >>> table = Reliability.of([0.9, 0.8, 0.3], [True, False, False], bins=2)
        >>> table.counts, table.shares
        ((1, 2), (0.0, 0.5))
        """
        probabilities = np.asarray(probabilities, "float64")
        places = np.searchsorted(np.arange(1, bins) / bins, probabilities, side="left")
        counts, said, so = (
            np.bincount(places, weights, minlength=bins)
            for weights in (None, probabilities, np.asarray(right, "float64"))
        )
        means = [
            tuple(float(x / n) if n else None for x, n in zip(sums, counts, strict=True))
            for sums in (said, so)
        ]
        return cls(tuple(map(int, counts)), *means)

    @property
    def error(self):
        """float, the expected calibration error (ECE): the mean gap between said and so.

        Each bin weighs as many times as it has answers.

        >>> table = Reliability.of([0.9, 0.8, 0.3], [True, False, False], bins=2)
        >>> round(table.error, 3)  # 1/3 * |0.3 - 0| + 2/3 * |0.85 - 0.5|
        0.333
        """
        bins = zip(self.counts, self.confidences, self.shares, strict=True)
        gaps = [n * abs(said - so) for n, said, so in bins if n]
        return sum(gaps) / max(1, sum(self.counts))
