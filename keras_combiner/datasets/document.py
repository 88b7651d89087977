"""Document: one text and its label."""

from typing import NamedTuple


class Document(NamedTuple):
    """One text and the class it belongs to.

    Args:
        text: str. The whole text; it may be empty.
        label: str or None. The class, None where it is not known.

    Example:

    >>> text, label = Document("It was a long book.", "review")
    >>> label
    'review'
    """

    text: str
    label: str | None = None
