"""Documents: texts with their labels and weights, by position."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_combiner.batches.text_inputs import (
    as_pairs,
    as_texts,
    as_weights,
    check_labels,
    is_reader,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Documents:
    """Texts with their labels and weights; or a reader, which brings all three.

    Args:
        texts: texts in any container that `keras_combiner.batches.text_inputs.as_texts` takes, or a
            reader of `keras_combiner.datasets`.
        labels: labels in any container, one a text; None without labels, and with a reader.
        weights: numbers in any container, one a text; None without weights, and with a reader.

    Attributes:
        texts: list of str or bytes, or the reader.
        labels: list, or None.
        weights: float32 array `[documents]`, or None.

    Raises:
        TypeError: for an element that is not text.
        ValueError: if texts, labels and weights differ in number, a weight is missing, negative or
            not finite, or a reader comes with labels or weights.

    Example:

    >>> documents = Documents(("rain", "king", "wind"), ["weather", "tale", "weather"])
    >>> documents.take(2).texts, documents.hold_out(0.3)[1].labels
    (['rain', 'king'], ['weather'])
    """

    texts: Any
    labels: Sequence | None = None
    weights: Sequence | np.ndarray | None = None

    def __post_init__(self):
        if self.labels is None and not is_reader(self.texts):
            texts, labels = as_texts(self.texts), None
        else:
            texts, labels = as_pairs(self.texts, self.labels)
        object.__setattr__(self, "texts", texts)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "weights", as_weights(self.weights, texts))

    @property
    def is_stream(self):
        """bool, whether they come from a reader, which is read again every time."""
        return is_reader(self.texts)

    @property
    def has_weights(self):
        """bool, whether every document has a weight."""
        return self.weights is not None or getattr(self.texts, "has_weights", False)

    def check_labelled(self):
        """Raises a ValueError unless there are labels; a reader raises its own while it is read."""
        if not self.is_stream:
            check_labels(self.texts, self.labels)

    def each_label(self):
        """Returns the labels in order, an iterable; those of a reader say where they stand."""
        return self.texts.labels() if self.is_stream else self.labels

    def take(self, count):
        """Returns the first `count` documents, or all if they are fewer."""
        if self.is_stream:
            return Documents(self.texts.take(count))
        return self._picked(lambda column: column[:count])

    def hold_out(self, share):
        """Splits the documents for validation.

        Args:
            share: float between 0 and 1, of the documents that go to validation.

        Returns:
            Two `Documents`, training and validation. The draw is always the same for the same
            number of documents.

        Raises:
            ValueError: if `share` is not a number between 0 and 1.
        """
        check_share(share)
        if self.is_stream:
            return tuple(map(Documents, self.texts.split(share)))
        order = np.random.default_rng(0).permutation(len(self.texts))
        held_out = max(1, round(len(self.texts) * share))
        return tuple(
            self._picked(lambda column, places=places: [column[i] for i in places])
            for places in (order[held_out:], order[:held_out])
        )

    def _picked(self, pick):
        columns = (self.texts, self.labels, self.weights)
        return Documents(*(None if column is None else pick(column) for column in columns))


def check_share(share):
    """Refuses a share that leaves nothing to train or to validate on.

    Args:
        share: float, the `validation_split`.

    Raises:
        ValueError: unless it is a number between 0 and 1, exclusive.

    Example:

    >>> check_share("0.2")
    Traceback (most recent call last):
    ValueError: `validation_split` must lie between 0 and 1. Received: '0.2'.
    """
    try:
        lies_between = bool(0 < share < 1)
    except TypeError:
        lies_between = False
    if not lies_between:
        raise ValueError(f"`validation_split` must lie between 0 and 1. Received: {share!r}.")
