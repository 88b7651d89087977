"""WeightedDocument: a document that counts for more or less than others."""

from keras_combiner.datasets.document import Document


class WeightedDocument(Document):
    """A `Document` with a weight: it still unpacks into text and label.

    Args:
        text: as in `Document`.
        label: as in `Document`.
        weight: float, by which its loss is multiplied in training.

    Example:

    >>> document = WeightedDocument("It was a long book.", "review", 0.5)
    >>> text, label = document
    >>> label, document.weight
    ('review', 0.5)
    """

    weight: float

    def __new__(cls, text, label=None, weight=1.0):
        """Makes a document with a weight."""
        document = super().__new__(cls, text, label)
        document.weight = weight
        return document

    @classmethod
    def _make(cls, iterable):
        return cls(*iterable)

    def _replace(self, /, **fields):
        """As of any `NamedTuple`; "weight" is a field like the others."""
        return type(self)(**{**self._asdict(), **fields})

    def _asdict(self):
        return {**super()._asdict(), "weight": self.weight}

    def __repr__(self):
        return f"{super().__repr__()[:-1]}, weight={self.weight!r})"
