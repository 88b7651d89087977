"""The number of a model's next version, as TF Serving counts them."""

from keras_combiner.version_folders import version_folders


def next_version(directory):
    """Gives the number after the newest version in a model's directory.

    TF Serving serves the version of the greatest number, and takes a new one up as it appears.

    Args:
        directory: str or path, as in "serving/my_model"; it may not exist yet.

    Returns:
        int, 1 for a model's first version.

    Example:

    >>> import tempfile
    >>> from pathlib import Path
    >>> directory = Path(tempfile.mkdtemp())
    >>> next_version(directory)
    1
    >>> for name in ("1", "9", "10", "notes"):
    ...     (directory / name).mkdir()
    >>> next_version(directory)
    11
    """
    return max((number for number, _ in version_folders(directory)), default=0) + 1
