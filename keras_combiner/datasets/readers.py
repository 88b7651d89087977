"""read_documents: the reader that fits a path."""

import errno
import os
import pathlib

from keras_combiner.datasets.csv_files import CsvReader
from keras_combiner.datasets.document_reader import DocumentReader
from keras_combiner.datasets.folders import FolderReader
from keras_combiner.datasets.jsonl import JsonlReader


def read_documents(
    path: str | os.PathLike,
    text_field: str = "text",
    label_field: str = "label",
    require_labels: bool = True,
) -> DocumentReader:
    """Read documents from a JSON Lines file, a CSV file or a directory of class folders.

    What the path is, is told by its ending. The contents are read, and checked, when the reader is
    looped over.

    Args:
        path: str or path. A .jsonl or .ndjson file, a .csv or .tsv file, or a directory with one
            folder a class and .txt files in them.
        text_field: str. The name of the field or column with the text; not used for a directory.
        label_field: str. The name of the field or column with the label; not used for a directory.
        require_labels: bool. Whether a document without a label is an error. If not, its label is
            None; this is for documents whose class is to be predicted.

    Returns:
        A `DocumentReader`, which can be looped over any number of times.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: the path's ending is not one of those above, or the field names are empty or
            equal. While reading: the file, the line and what to do about it.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.jsonl"
    >>> _ = path.write_text('{"text": "A fine book.", "label": "good"}\\n')
    >>> for text, label in read_documents(path):
    ...     print(label, "-", text)
    good - A fine book.
    """
    path = pathlib.Path(path)
    if not path.exists():
        missing = str(path) if path.is_absolute() else f"{path} (in {pathlib.Path.cwd()})"
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), missing)
    fields = {"text_field": text_field, "label_field": label_field}
    if path.is_dir():
        return FolderReader(path, require_labels=require_labels)
    match path.suffix.lower():
        case ".jsonl" | ".ndjson":
            return JsonlReader(path, **fields, require_labels=require_labels)
        case ".csv":
            return CsvReader(path, **fields, require_labels=require_labels)
        case ".tsv":
            return CsvReader(path, **fields, require_labels=require_labels, delimiter="\t")
    raise ValueError(
        f"{path}: cannot tell what it holds from its ending {path.suffix!r}. Expected .jsonl or "
        ".ndjson (one JSON object a line), .csv, .tsv (a first line that names the columns), or a "
        "directory with one folder of .txt files for each class."
    )
