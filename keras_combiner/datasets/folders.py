"""FolderReader: documents from a folder of text files for each class."""

import os
import pathlib

from keras_combiner.datasets.document import Document
from keras_combiner.datasets.document_reader import DocumentReader
from keras_combiner.datasets.text_lines import decoded_file


class FolderReader(DocumentReader):
    """Documents from a directory with one folder a class and a .txt file a document, in UTF-8.

    The folder's name is the label, and every .txt file below it is one of its documents, however
    deep. Files come sorted by name and the classes evenly mixed. Hidden files are left out, and so
    are files beside the class folders, such as a README.txt, unless `require_labels` is False.

    Args:
        path: str or path. The directory.
        require_labels: bool. Whether every document must lie in a class folder. If not, the .txt
            files of the directory itself come first, with None for a label.

    Raises:
        ValueError: on reading, when the directory has no class folder, when a class folder has no
            .txt file, or when a file is not UTF-8.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp())
    >>> (path / "good").mkdir()
    >>> (path / "good" / "1.txt").write_text("A fine book.")
    12
    >>> list(FolderReader(path))
    [Document(text='A fine book.', label='good')]
    """

    def __init__(self, path: str | os.PathLike, require_labels: bool = True):
        self._path = pathlib.Path(path)
        self._require_labels = require_labels

    def __iter__(self):
        for label, path in self._files():
            yield Document(decoded_file(path), label)

    def places(self):
        """Yield the file of every document."""
        return (str(path) for _, path in self._files())

    def _files(self):
        """Yield every file after its label."""
        loose_files, folders = _sorted_entries(self._path)
        if self._require_labels:
            if not folders:
                raise ValueError(
                    f"{self._path}: no class folders. Expected one folder for each class, named "
                    "for it, with the class's .txt files in it."
                )
            loose_files = []
        elif not loose_files and not folders:
            raise ValueError(f"{self._path}: no .txt files and no folders with .txt files.")
        for path in loose_files:
            yield None, path
        classes = {folder.name: list(_text_files(folder)) for folder in folders}
        for label, paths in classes.items():
            if not paths:
                raise ValueError(
                    f"{self._path / label}: no .txt files. Every folder in {self._path} is taken "
                    "for a class: put text files in it or take it out."
                )
        yield from _interleaved(classes)

    def __repr__(self):
        return f"{type(self).__name__}({str(self._path)!r})"


def _interleaved(classes):
    """Mix the classes evenly: shuffling a stream cannot, which sees only a stretch of it at a time.

    Classes of 2 and 4 files come as b a b b a b.
    """
    places = [
        ((i + 0.5) / len(paths), label, path)
        for label, paths in classes.items()
        for i, path in enumerate(paths)
    ]
    # Sorted by place alone, and stably: the order of the labels decides between equals.
    return [(label, path) for _, label, path in sorted(places, key=lambda place: place[0])]


def _text_files(folder):
    """Yield the .txt files below a folder, its own before those of the folders in it."""
    files, folders = _sorted_entries(folder)
    yield from files
    for inner in folders:
        yield from _text_files(inner)


def _sorted_entries(folder):
    """List the .txt files and the folders right in a folder, each sorted, without hidden ones."""
    files, folders = [], []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            folders.append(path)
        elif path.suffix.lower() == ".txt":
            files.append(path)
    return files, folders
