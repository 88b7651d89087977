"""shortened_repr: what was received, in the words of an error."""


def shortened_repr(value, longest=60):
    """Returns `repr(value)`, its end left out if it is long.

    Args:
        value: anything.
        longest: int, the most characters.

    Returns:
        str.

    Example:

    >>> shortened_repr("rain"), shortened_repr("thunderstorm", longest=9)
    ("'rain'", "'thund...")
    """
    shown = repr(value)
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."
