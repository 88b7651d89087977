"""A model's directory as TF Serving lays it out: its folders that are named by a number."""

from pathlib import Path

SAVED_MODEL_FILE = "saved_model.pb"


def version_folders(directory):
    """Lists the versions in a model's directory.

    Args:
        directory: str or path, as in "serving/my_model"; it may not exist yet.

    Returns:
        list of (int, `pathlib.Path`): numbers and folders, in ascending order.

    Example:

    >>> import tempfile
    >>> directory = Path(tempfile.mkdtemp())
    >>> for name in ("10", "9", "notes"):
    ...     (directory / name).mkdir()
    >>> [(number, folder.name) for number, folder in version_folders(directory)]
    [(9, '9'), (10, '10')]
    """
    directory = Path(directory)
    folders = directory.iterdir() if directory.is_dir() else ()
    return sorted((int(x.name), x) for x in folders if is_version(x.name) and x.is_dir())


def is_version(name):
    """Whether a folder of this name is a version to TF Serving: a number in ASCII digits.

    Args:
        name: str.

    Returns:
        bool.

    Example:

    >>> is_version("12"), is_version("v12")
    (True, False)
    """
    return name.isascii() and name.isdigit()


def saved_models(directory):
    """Lists what can be served in a directory, without looking into it.

    Args:
        directory: str or path.

    Returns:
        list of (int, `pathlib.Path`), newest first: the versions, or the directory itself.
    """
    directory = Path(directory)
    if (directory / SAVED_MODEL_FILE).is_file():
        return [(int(directory.name) if is_version(directory.name) else 1, directory)]
    return version_folders(directory)[::-1]


def no_saved_model(directory):
    """Says that there is nothing to serve, and what to do.

    Args:
        directory: str or path.

    Returns:
        str.
    """
    directory = Path(directory)
    if not directory.exists():
        return f"There is no directory {directory}. Name one that holds an exported SavedModel."
    kind = "file" if directory.is_file() else "directory without a SavedModel"
    return (
        f"Expected a SavedModel's directory, or one of numbered versions such as "
        f"{directory / '1'}. Received: {directory}, a {kind}. Make one with: keras-combiner export "
        "--model MODEL --saved-model DIR/1"
    )
