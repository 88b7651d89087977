"""float32: which numbers training can hold."""

import numpy as np

_MOST = float(np.finfo("float32").max)


def number_of(value) -> float | None:
    """Returns the number that a value stands for, if a float32 can hold it.

    Args:
        value: anything; a number, or a list, tuple or array of one, stands for a number. Strings
            and booleans do not.

    Returns:
        float, finite; None for anything else.

    Example:

    >>> number_of(2), number_of([0.5]), number_of("2"), number_of(1e39)
    (2.0, 0.5, None, None)
    """
    while isinstance(value, (list, tuple, np.ndarray)) and np.ndim(value) and len(value) == 1:
        value = value[0]
    if isinstance(value, (str, bytes, bytearray, bool, list, tuple)):
        return None
    dtype = str(getattr(value, "dtype", "float"))
    if "int" not in dtype and "float" not in dtype:
        return None  # float() makes numbers of booleans and strings in arrays and tensors
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) <= _MOST else None  # also false for NaN


def weight_of(value) -> float | None:
    """Returns the weight that a value stands for: a number that is not negative.

    Args:
        value: as in `number_of`.

    Returns:
        float; None for what is not a weight.

    Example:

    >>> weight_of(0.5), weight_of(-1)
    (0.5, None)
    """
    number = number_of(value)
    return None if number is None or number < 0 else number
