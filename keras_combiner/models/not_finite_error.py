"""NotFiniteError: outputs of a model that are NaN or infinite."""

import numpy as np


class NotFiniteError(ValueError):
    """The model's outputs for a document are NaN or infinite, and so are not an answer.

    Args:
        document: int, its place in the list, from 0.
        name: str, what the document is called; None for its place.

    Attributes:
        document: as above.

    Example:

    >>> str(NotFiniteError(3)).split(". ")[0]
    "The model's outputs for document 3 are not finite numbers"
    """

    def __init__(self, document, name=None):
        super().__init__(
            f"The model's outputs for {name or f'document {document}'} are not finite numbers. "
            "Train the model again, with a smaller learning rate."
        )
        self.document = document


def refuse_not_finite(outputs):
    """Raises a `NotFiniteError` that names the first document with other outputs.

    Args:
        outputs: float array `[documents, units]`.
    """
    wrong = np.flatnonzero(~np.isfinite(outputs.astype("float64")).all(-1))
    if len(wrong):
        raise NotFiniteError(int(wrong[0]))
