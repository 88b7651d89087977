"""DataWarning: a warning about data, which does not stop the work."""


class DataWarning(UserWarning):
    """Warns that data may not be what they are meant to be.

    The command line shows each of them once, as a line on standard error. In Python
    `warnings.simplefilter("error", DataWarning)` makes errors of them.

    Example:

    >>> issubclass(DataWarning, UserWarning)
    True
    """
