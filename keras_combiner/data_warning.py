"""DataWarning: what should be known about data, and does not stop the work."""


class DataWarning(UserWarning):
    """Says that data may not be what they were meant to be.

    The command line shows each of them once, as a line on standard error. In Python
    `warnings.simplefilter("error", DataWarning)` makes errors of them.

    Example:

    >>> issubclass(DataWarning, UserWarning)
    True
    """
