"""RealFiles: the files of a folder, each once, whatever links there are."""

import os
import pathlib
import warnings
from collections.abc import Callable, Iterator

from keras_combiner.data_warning import DataWarning


class RealFiles:
    """Lists the folders and files below a folder, without hidden ones, and each real one once.

    A link to what the folder holds anyway, or to a folder that holds it, is left out; one that
    leads elsewhere is followed, the first time that it is met.

    Args:
        folder: pathlib.Path.

    Attributes:
        left_out: list of pathlib.Path, the links that were left out so far, without those to a
            folder that they are in.

    Example:

    >>> import tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "1.txt").write_text("A fine book.")
    >>> (folder / "again").symlink_to(folder, target_is_directory=True)
    >>> [path.name for path in RealFiles(folder).below(folder)]
    ['1.txt']
    """

    def __init__(self, folder: pathlib.Path):
        self.left_out = []
        self._root = folder
        self._links = {folder: False}  # the folders met: whether a link led there
        self._real = None

    def entries(self, folder: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
        """Lists the files and the folders right in a folder, each sorted by name.

        Args:
            folder: pathlib.Path, the one that was given, or one that was listed.

        Returns:
            A pair of lists of pathlib.Path.
        """
        files, folders = [], []
        for path in sorted(folder.iterdir(), key=lambda path: path.name):
            if path.name.startswith("."):
                continue
            is_linked = self._links[folder] or path.is_symlink()
            if is_linked and not self._is_new(path):
                if not _is_within(path.parent, path):
                    self.left_out.append(path)
                continue
            if path.is_dir():
                self._links[path] = is_linked
                folders.append(path)
            else:
                files.append(path)
        return files, folders

    def below(self, folder: pathlib.Path) -> Iterator[pathlib.Path]:
        """Yields the files below a folder, its own before those of the folders in it.

        Args:
            folder: as in `entries`.

        Returns:
            An iterator of pathlib.Path.
        """
        files, folders = self.entries(folder)
        yield from files
        for inner in folders:
            yield from self.below(inner)

    def warn_of_links(self, matters: Callable[[pathlib.Path], bool] = bool):
        """Warns once of all links that were left out, when the folder has been listed.

        Args:
            matters: callable of pathlib.Path, whether a link could have been a document or a folder
                of them.
        """
        paths = list(filter(matters, self.left_out))
        if paths:
            more = f" {len(paths):,} links are left out in all." if len(paths) > 1 else ""
            warnings.warn(
                f"{paths[0]} is left out: it is a link to {os.path.realpath(paths[0])}, which is "
                f"read elsewhere.{more}",
                DataWarning,
                stacklevel=3,
            )

    def _is_new(self, path):
        """Whether what a link leads to has not been met, nor will be without the link."""
        if self._real is None:  # walks through the folder a second time, if there is a link at all
            root = os.path.realpath(self._root)
            self._real = {*map(str, pathlib.Path(root).parents), *_without_links(root)}
        real = os.path.realpath(path)
        if real in self._real:
            return False
        self._real.add(real)
        return True


def _is_within(folder, other):
    """Whether `folder` is `other`, or lies in it, once links are followed."""
    real = pathlib.Path(os.path.realpath(folder))
    return real.is_relative_to(os.path.realpath(other))


def _without_links(folder):
    """Yields the real paths of a folder and all that it holds, without hidden ones."""
    yield folder
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            if entry.is_dir():
                yield from _without_links(entry.path)
            else:
                yield entry.path
