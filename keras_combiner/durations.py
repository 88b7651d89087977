"""Durations in words."""


def duration(seconds: float) -> str:
    """Writes seconds as minutes and seconds, or hours, minutes and seconds.

    Args:
        seconds: float.

    Returns:
        str.

    Example:

    >>> duration(75), duration(3725)
    ('1:15', '1:02:05')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
