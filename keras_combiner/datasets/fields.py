"""Picking text and label out of a record's named fields: what JSONL and CSV share."""

from collections.abc import Iterable

_MOST_NAMES = 10
_LONGEST_NAME = 40


def check_field_names(text_field: str, label_field: str) -> None:
    """Refuse names that cannot tell a text from a label.

    Args:
        text_field: str. The name of the field with the text.
        label_field: str. The name of the field with the label.

    Raises:
        ValueError: a name is not a string or is empty, or both are the same.

    Example:

    >>> check_field_names("text", "text")
    Traceback (most recent call last):
    ...
    ValueError: text_field and label_field must differ. Received 'text' for both.
    """
    for argument, name in (("text_field", text_field), ("label_field", label_field)):
        if not isinstance(name, str) or not name:
            raise ValueError(f"{argument} must be the name of a field. Received: {name!r}.")
    if text_field == label_field:
        raise ValueError(
            f"text_field and label_field must differ. Received {text_field!r} for both."
        )


def listed(names: Iterable[str]) -> str:
    """Quote names for an error message, the first few and the start of long ones.

    Args:
        names: iterable of str.

    Returns:
        str, the names with commas between them, or "(none)".

    Example:

    >>> listed(["text", "stars"])
    "'text', 'stars'"
    """
    names = list(names)
    shown = [
        repr(name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "...")
        for name in names[:_MOST_NAMES]
    ]
    if len(names) > _MOST_NAMES:
        shown.append(f"and {len(names) - _MOST_NAMES} more")
    return ", ".join(shown) or "(none)"
