"""Exceptions for requests that are not answered, which KServe turns into a status."""

from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady

__all__ = [
    "InvalidInput",  # 400, and INVALID_ARGUMENT in gRPC
    "NotOffered",
    "Overloaded",
    "VersionNotFound",
    "shown",
]


class Overloaded(ModelNotReady):
    """More is waiting than may wait: 503, and UNAVAILABLE in gRPC. The request may be sent again.

    Args:
        reason: str, what there is too much of.
    """

    def __init__(self, reason):
        self.reason = self.error_msg = reason


class NotOffered(NotImplementedError):
    """A part of the protocol that this server does not support: 501, and UNIMPLEMENTED in gRPC.

    Args:
        reason: str, what to do instead.
    """

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class VersionNotFound(ModelNotFound):
    """A version or a label of one that is not served: 404, and NOT_FOUND in gRPC.

    Args:
        reason: str, which there are.
    """

    def __init__(self, reason):
        self.reason = reason


def shown(value):
    """Says what was received, for a message: its kind, and for short values what it is.

    Args:
        value: anything that JSON can hold, or bytes.

    Returns:
        str of at most some 60 characters.

    Example:

    >>> shown({"text": "a"}), shown("war " * 1000), shown(7), shown(None)
    ("an object with the fields 'text'", 'a string', 'a number (7)', 'null')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"a boolean ({str(value).lower()})"
    if isinstance(value, (int, float)):
        return f"a number ({value})" if len(repr(value)) <= 20 else "a number"
    if isinstance(value, (str, bytes)):
        return f"a string ({value!r})" if len(value) <= 20 else "a string"
    if isinstance(value, dict):
        names = ", ".join(repr(x)[:20] for x in list(value)[:3])
        more = f" and {len(value) - 3} more" if len(value) > 3 else ""
        return f"an object with the fields {names}{more}" if value else "an empty object"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    return f"a {type(value).__name__}"
