"""TextFilesReader: every file is a document."""

import os
import pathlib

from keras_combiner.datasets.document import Document
from keras_combiner.datasets.document_reader import DocumentReader
from keras_combiner.datasets.readers import record_reader
from keras_combiner.datasets.real_files import RealFiles
from keras_combiner.datasets.text_lines import decoded_file


class TextFilesReader(DocumentReader):
    """Documents from a text file, or from all files of a directory, in UTF-8, without labels.

    Files come sorted by path, those of a folder before those of the folders in it. Hidden files and
    folders are left out. Links are followed, and every real file is read once; a warning names
    links that are left out because what they lead to is read elsewhere.

    Args:
        path: str or path. The file or the directory.

    Raises:
        ValueError: on reading, when a directory has no file, when a file is not UTF-8, or when it
            is, by its ending, a file of records and not a document.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp())
    >>> (path / "letters").mkdir()
    >>> _ = (path / "letters" / "1.txt").write_text("Dear reader, ...")
    >>> list(TextFilesReader(path).texts())
    ['Dear reader, ...']
    """

    def __init__(self, path: str | os.PathLike):
        self._path = pathlib.Path(path)

    def __iter__(self):
        for path in self._files():
            yield Document(decoded_file(path))

    def places(self):
        """Yields the file of every document."""
        return map(str, self._files())

    def _files(self):
        if not self._path.is_dir():
            yield self._path
            return
        empty = True
        real_files = RealFiles(self._path)
        for path in real_files.below(self._path):
            if record_reader(path, {}) is not None:
                pattern = path.with_name("*" + "".join(path.suffixes))
                raise ValueError(
                    f"{path}: by its ending a file of records, and not one document. Name such "
                    f"files by a pattern: '{pattern}'."
                )
            empty = False
            yield path
        real_files.warn_of_links()
        if empty:
            raise ValueError(f"{self._path}: no files. Every file in it is to be a document.")

    def __repr__(self):
        return f"{type(self).__name__}({str(self._path)!r})"
