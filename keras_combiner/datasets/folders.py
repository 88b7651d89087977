"""FolderReader: documents from a folder of text files for each class."""

import os
import pathlib
import warnings
from collections.abc import Iterator

from keras_combiner.data_warning import DataWarning
from keras_combiner.datasets.document import Document
from keras_combiner.datasets.document_reader import DocumentReader
from keras_combiner.datasets.label_names import LabelError, alike, text_label_name
from keras_combiner.datasets.real_files import RealFiles
from keras_combiner.datasets.text_lines import decoded_file

# Names of files that are about the documents, and are not meant to be one.
_ABOUT = ("README", "LICENSE", "NOTICE", "CHANGELOG")


class FolderReader(DocumentReader):
    """Documents from a directory with one folder a class and a .txt file a document, in UTF-8.

    The folder's name is the label, by the rule for files that hold text alone, and every .txt file
    below it is one of its documents, however deep. Files come sorted by name and the classes evenly
    mixed. Hidden files are left out, and so are files beside the class folders, such as a
    README.txt, unless `require_labels` is False. Links are followed, and every real file is read
    once. A warning names folders that are one class, or whose names differ in white space only:
    these are classes of their own. Another names links that are left out because what they lead to
    is read elsewhere.

    Args:
        path: str or path. The directory.
        require_labels: bool. Whether every document must lie in a class folder. If not, the .txt
            files of the directory itself come first, with None for a label.
        with_labels: bool. Whether labels are read; if not, every label is None, whatever the
            folders are called.

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

    def __init__(
        self, path: str | os.PathLike, require_labels: bool = True, with_labels: bool = True
    ):
        self._path = pathlib.Path(path)
        self._require_labels = require_labels and with_labels
        self._with_labels = with_labels

    @property
    def keeps_alike_labels(self):
        """True: a folder's name is seen as it is; see `DocumentReader`."""
        return True

    def __iter__(self):
        for label, path in self.files():
            yield Document(decoded_file(path), label)

    def places(self):
        """Yields the file of every document."""
        return (str(path) for _, path in self.files())

    def located(self):
        """Yields every document after its file, past those that are bad; see `DocumentReader`."""
        for label, path in self.files():
            try:
                document = Document(decoded_file(path), label)
            except ValueError as error:
                document = error
            yield str(path), document

    def files(self) -> Iterator[tuple[str | None, pathlib.Path]]:
        """Yields the label and the path of every document, without reading it.

        Returns:
            An iterator of pairs: str, or None without a label, and pathlib.Path.

        Raises:
            ValueError: as the reader, except for what is wrong in a file.
        """
        real_files, left_out = RealFiles(self._path), []
        loose_files, folders = real_files.entries(self._path)
        loose_files = [path for path in loose_files if _is_text(path)]
        if self._require_labels:
            if not folders:
                raise ValueError(
                    f"{self._path}: no class folders. Expected one folder for each class, named "
                    "for it, with the class's .txt files in it."
                )
            left_out = [path for path in loose_files if path.stem.upper() not in _ABOUT]
            loose_files = []
        elif not loose_files and not folders:
            raise ValueError(f"{self._path}: no .txt files and no folders with .txt files.")
        for path in loose_files:
            yield None, path
        classes = {}
        named = _named(folders) if self._with_labels else {x.name: [x] for x in folders}
        for label, group in named.items():
            classes[label] = []
            for folder in group:
                found = list(real_files.below(folder))
                paths = list(filter(_is_text, found))
                left_out += [path for path in found if not _is_text(path)]
                if not paths:
                    raise ValueError(
                        f"{folder}: no .txt files. Every folder in {self._path} is taken for a "
                        "class: put text files in it or take it out."
                    )
                classes[label] += paths
        real_files.warn_of_links(self._may_be_read)
        self._warn_of_left_out(left_out)
        for label, path in _interleaved(classes):
            yield label if self._with_labels else None, path

    def _warn_of_left_out(self, paths):
        """Warns of files that are not read as documents, but may have been meant to be."""
        if paths:
            warnings.warn(
                f"{self._path}: {len(paths)} of its files are not read, {paths[0]} among them. A "
                "document is a .txt file in the folder of its class.",
                DataWarning,
                stacklevel=3,
            )

    def _may_be_read(self, path):
        is_beside_folders = path.parent == self._path
        return path.is_dir() or (
            _is_text(path) and not (self._require_labels and is_beside_folders)
        )

    def __repr__(self):
        return f"{type(self).__name__}({str(self._path)!r})"


def _is_text(path):
    return path.suffix.lower() == ".txt"


def _named(folders):
    """Gathers the folders of each class, and warns of those that are one class or look alike."""
    classes = {}
    for folder in folders:
        try:
            name = text_label_name(folder.name)
        except LabelError as error:
            raise ValueError(f"{folder}: {error}") from None
        classes.setdefault(name, []).append(folder)
    for name, group in classes.items():
        if len(group) > 1:
            paths = " and ".join(ascii(str(folder)) for folder in group)
            warnings.warn(f"{paths} are read as one class, {name!r}.", DataWarning, stacklevel=2)
    for group in alike(classes):
        paths = " and ".join(repr(str(folder)) for name in group for folder in classes[name])
        warnings.warn(
            f"{paths} are read as different classes, and their names look alike.",
            DataWarning,
            stacklevel=2,
        )
    return classes


def _interleaved(classes):
    """Mixes the classes evenly, which shuffling a stream, a stretch at a time, cannot do.

    Classes of 2 and 4 files come as b a b b a b.
    """
    places = [
        ((i + 0.5) / len(paths), label, path)
        for label, paths in classes.items()
        for i, path in enumerate(paths)
    ]
    # Sorted by place alone, and stably: the order of the labels decides between equals.
    return [(label, path) for _, label, path in sorted(places, key=lambda place: place[0])]
