"""read_texts: documents without labels, for pretraining."""

import functools
import os

from keras_combiner.datasets.document_reader import DocumentReader
from keras_combiner.datasets.fields import Fields
from keras_combiner.datasets.readers import reader_of, record_reader
from keras_combiner.datasets.text_files import TextFilesReader


def read_texts(path: str | os.PathLike, text_field: str = "text") -> DocumentReader:
    """Reads documents without labels from a file, a directory, or what a pattern names.

    Args:
        path: str or path. A directory, of which every file that is not hidden, however deep, is a
            document in UTF-8; a file of records as `read_documents` takes it, with or without
            labels; any other file, which is one document; or a pattern of files.
        text_field: str. The name of the field or column with the text, in files of records.

    Returns:
        A `DocumentReader`, which can be looped over any number of times; all labels are None.

    Raises:
        FileNotFoundError: there is nothing at `path`, or no file that the pattern names.
        ValueError: the field name is empty. While reading: the file, the line and what to do; a
            directory without a file, or with files of records, for which a pattern is needed.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (path / "one.txt").write_text("A fine book.")
    >>> list(read_texts(path))
    [Document(text='A fine book.', label=None)]
    """
    options = {"text_field": text_field, "with_labels": False}
    Fields(**options)  # refuses a wrong name, whatever is at the path
    return reader_of(path, functools.partial(_reader, options=options))


def _reader(path, options):
    return (path.is_file() and record_reader(path, options)) or TextFilesReader(path)
