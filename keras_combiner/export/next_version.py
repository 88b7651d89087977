"""The number of a model's next version, as TF Serving counts them."""

from pathlib import Path


def versions(directory):
    """Gives the versions in a model's directory: its folders that are named by a number.

    Args:
        directory: str or path; it may not exist yet.

    Returns:
        list of int, in ascending order.
    """
    directory = Path(directory)
    folders = directory.iterdir() if directory.is_dir() else ()
    return sorted(int(x.name) for x in folders if is_version(x.name) and x.is_dir())


def is_version(name):
    """Whether a folder of this name is a version to TF Serving: a number in ASCII digits."""
    return name.isascii() and name.isdigit()


def next_version(directory):
    """Gives the number after the newest version in a model's directory.

    TF Serving serves the version of the greatest number, and takes a new one up as it appears.

    Args:
        directory: str or path, as in "serving/my_model"; it may not exist yet.

    Returns:
        int, 1 for a model's first version.

    Example:

    >>> import tempfile
    >>> directory = Path(tempfile.mkdtemp())
    >>> next_version(directory)
    1
    >>> for name in ("1", "9", "10", "notes"):
    ...     (directory / name).mkdir()
    >>> next_version(directory)
    11
    """
    return max(versions(directory), default=0) + 1
