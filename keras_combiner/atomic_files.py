"""Files and directories that appear complete or not at all."""

import contextlib
import os
import shutil
import uuid
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path, overwrite=False):
    """Yields a path beside `path` to write to, and renames it to `path` if the block succeeds.

    Args:
        path: str or path of the file or directory to make.
        overwrite: bool, whether an existing file or directory may be replaced.

    Yields:
        `pathlib.Path` that does not exist yet. What was written there is removed if the block
        raises.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is false.

    Example:

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "numbers.txt"
    >>> with atomic_write(target) as unfinished:
    ...     _ = unfinished.write_text("1 2 3")
    >>> target.read_text()
    '1 2 3'
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex[:8]
    unfinished = path.with_name(f"{path.stem}.tmp-{token}{path.suffix}")
    try:
        yield unfinished
        refuse_existing(path, overwrite)  # another process may have written there in the meantime
        if path.is_dir():
            # A directory cannot be renamed onto another: the old one is renamed first.
            replaced = path.with_name(f"{path.name}.tmp-old-{token}")
            os.rename(path, replaced)
            try:
                os.rename(unfinished, path)
            except BaseException:
                os.rename(replaced, path)
                raise
            shutil.rmtree(replaced)
        else:
            os.replace(unfinished, path)
    finally:
        if unfinished.is_dir():
            shutil.rmtree(unfinished)
        else:
            unfinished.unlink(missing_ok=True)


def refuse_existing(path, overwrite):
    """Raises a FileExistsError if `path` exists, unless it may be overwritten."""
    if Path(path).exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists. Choose another path, or allow it to be replaced with "
            "overwrite=True (--overwrite on the command line)."
        )
