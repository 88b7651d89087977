"""Arguments of generated data sets that must be integers."""


def check_integers(*arguments):
    """Raises a ValueError unless every argument is an int of at least its bound.

    Args:
        *arguments: triples of the argument's name (str), its value, and the least that it may be.
    """
    for name, value, at_least in arguments:
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise ValueError(
                f"`{name}` must be an int of at least {at_least}. Received: {name}={value!r}."
            )
