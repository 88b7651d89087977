"""Unambiguous JSON: in UTF-8, without NaN, and with every name once in its object."""

import json

import orjson

from keras_combiner.serving.errors import InvalidInput


def read_json(body, form):
    """Reads JSON.

    Args:
        body: bytes.
        form: str, an example of what is expected, for the message.

    Returns:
        What it holds: dict, list, str, int, float, bool or None.

    Raises:
        InvalidInput: if it is not JSON in UTF-8, or an object has a name twice.

    Example:

    >>> read_json(b'{"instances": ["a"]}', "")
    {'instances': ['a']}
    """
    try:
        value = orjson.loads(body)
        # orjson takes the last of equal names without a word. Two names have two colons.
        if body.count(b":") > 1:
            _NAMES.decode(body.decode())
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"Expected {form}. Received what is not JSON: {error}.") from error
    except RecursionError as error:
        raise InvalidInput(f"Expected {form}. Received lists or objects too deep.") from error
    except _RepeatedName as error:
        raise InvalidInput(
            f"Expected every name once in a JSON object, as in {form}. Received twice: {error}."
        ) from error
    return value


class _RepeatedName(ValueError):
    pass


def _check_names(pairs):
    if len(pairs) > 1:
        seen = set()
        for name, _ in pairs:
            if name in seen:
                raise _RepeatedName(repr(name[:40]))
            seen.add(name)


# Numbers are orjson's matter; integers of thousands of digits are slow, or refused by `int`.
_NAMES = json.JSONDecoder(object_pairs_hook=_check_names, parse_int=float)
