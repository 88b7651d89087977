"""Document: one text and what is to be learned from it."""

from typing import NamedTuple


class Document(NamedTuple):
    """One text and the class it belongs to, or its labels, or its number.

    Args:
        text: str. The whole text; it may be empty.
        label: str, the class; or a tuple of str, any number of labels; or a float, a target of
            regression; or None where it is not known.

    Example:

    >>> text, label = Document("It was a long book.", "review")
    >>> label
    'review'
    """

    text: str
    label: str | tuple[str, ...] | float | None = None


def task_of(label: str | tuple[str, ...] | float | None) -> str | None:
    """Names the task that a label belongs to.

    Args:
        label: of a `Document`.

    Returns:
        "single_label", "multi_label" or "regression"; None without a label.

    Example:

    >>> task_of(("red", "round")), task_of(1.5), task_of("1.5")
    ('multi_label', 'regression', 'single_label')
    """
    if label is None:
        return None
    if isinstance(label, str):
        return "single_label"
    return "multi_label" if isinstance(label, tuple) else "regression"
