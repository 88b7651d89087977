"""read_documents: the reader that fits a path."""

import errno
import functools
import glob
import os
import pathlib
import re
import warnings
from collections.abc import Callable

from keras_combiner.data_warning import DataWarning
from keras_combiner.datasets.compression import without_compression
from keras_combiner.datasets.csv_files import CsvReader
from keras_combiner.datasets.document_reader import DocumentReader
from keras_combiner.datasets.fields import Fields
from keras_combiner.datasets.folders import FolderReader
from keras_combiner.datasets.jsonl import JsonlReader
from keras_combiner.datasets.parquet import ParquetReader
from keras_combiner.datasets.record_reader import RecordReader
from keras_combiner.datasets.shards import ShardsReader
from keras_combiner.datasets.tfrecord import TFRecordReader

# As TensorFlow's own tools number shards: reviews.tfrecord-00000-of-00010.
_NUMBERED = re.compile(r"-\d+-of-\d+$")
# Other tools write an ending after the numbers: train-00000-of-00010.parquet.
_SHARD = re.compile(r"-(\d+)-of-(\d+)(?=\.|$)")
_MOST_NAMED = 3


def read_documents(
    path: str | os.PathLike,
    text_field: str = "text",
    label_field: str | None = None,
    require_labels: bool = True,
    task: str | None = None,
    weight_field: str | None = None,
    with_labels: bool = True,
) -> DocumentReader:
    """Reads documents from a file, a directory of class folders, or the shards of a pattern.

    The ending of a file says what it is. The contents are read, and checked, when you loop over the
    reader.

    The target stands in a field of its own, and the first record says which: "label" is one class,
    a string or a number; "labels" any number of labels, a list of those; "target" a number to be
    predicted. All records must have the same. A label has one name in every format: true is "True",
    1.0 is "1", text is in Unicode's composed form. What is missing (null, blank, NaN) is refused,
    or None without `require_labels`.

    Args:
        path: str or path. A .jsonl or .ndjson file, a .csv or .tsv file, each also with .gz or .zst
            at its end; a .parquet file; a .tfrecord file, also with .gz; a directory with one
            folder a class and .txt files in them; or a pattern of files such as
            "shards-*.jsonl.gz" (`*`, `?`, `[...]` and `**`), which are read in the order of their
            names.
        text_field: str. The name of the field or column with the text; not used for a directory.
        label_field: str or None. The name of the field or column with the target; "label", "labels"
            or "target" if None. Not used for a directory.
        require_labels: bool. Whether a document without a target is an error. If not, its label is
            None; this is for documents whose class is to be predicted.
        task: str or None. "single_label", "multi_label" or "regression", what kind of target it is;
            told by the first record if None, and "single_label" for a `label_field` of another
            name. Directories have single labels only.
        weight_field: str or None. The name of the field or column with a number of at least 0, what
            the document's loss is multiplied with in training; the documents are then
            `keras_combiner.datasets.weighted_document.WeightedDocument`s. Not for a directory.
        with_labels: bool. Whether targets are read at all. If not, every label is None, whatever
            stands in its place; this is for documents that are to be predicted only.

    Returns:
        A `DocumentReader`, which can be looped over any number of times.

    Raises:
        FileNotFoundError: there is nothing at `path`, or no file that the pattern names.
        ValueError: a path's ending is not one of those above, the field names are empty or
            equal, or there is no such task. While reading: the file, the line and what to do.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.jsonl"
    >>> _ = path.write_text('{"text": "A fine book.", "label": "good"}\\n')
    >>> for text, label in read_documents(path):
    ...     print(label, "-", text)
    good - A fine book.
    """
    options = {
        "text_field": text_field,
        "label_field": label_field,
        "require_labels": require_labels,
        "task": task,
        "weight_field": weight_field,
        "with_labels": with_labels,
    }
    Fields(**options)  # refuses wrong names and tasks, whatever is at the path
    return reader_of(path, functools.partial(_reader, options=options))


def reader_of(
    path: str | os.PathLike, reader: Callable[[pathlib.Path], DocumentReader]
) -> DocumentReader:
    """Makes the reader of what is at a path, or of all files that a pattern names.

    Args:
        path: str or path, or a pattern of files.
        reader: callable, makes the reader of one file or directory.

    Returns:
        A `DocumentReader`.

    Raises:
        FileNotFoundError: there is nothing at `path`, or no file that the pattern names.
    """
    path = pathlib.Path(path)
    if path.exists():
        return reader(path)
    shown = str(path) if path.is_absolute() else f"{path} (in {pathlib.Path.cwd()})"
    if not glob.has_magic(str(path)):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), shown)
    shards = {}  # every real file once, though links lead to it
    for shard in map(pathlib.Path, sorted(glob.glob(str(path), recursive=True))):
        if shard.is_file():
            shards.setdefault(os.path.realpath(shard), shard)
    if not shards:
        raise FileNotFoundError(errno.ENOENT, "No file matches the pattern", shown)
    _warn_of_copies(shards.values())
    _warn_of_missing(shards.values())
    return ShardsReader([reader(shard) for shard in shards.values()])


def _warn_of_copies(shards):
    """Warns of a file beside its compressed copy, whose documents are read twice."""
    copies = {}
    for shard in shards:
        copies.setdefault(without_compression(shard), []).append(shard)
    for group in copies.values():
        if len(group) > 1:
            paths = " and ".join(map(str, group))
            warnings.warn(
                f"{paths} are all read, though one seems to be the other, compressed. If they hold "
                "the same documents, write a pattern that fits only one of them.",
                DataWarning,
                stacklevel=2,
            )


def _warn_of_missing(shards):
    """Warns of shards that are not there, and of two divisions, as their names tell."""
    found = {}  # by the name without numbers: {how many there should be: numbers of those read}
    for shard in shards:
        name = _SHARD.search(shard.name)
        if name:
            whole = shard.with_name(_SHARD.sub("-*-of-*", shard.name))
            found.setdefault(whole, {}).setdefault(int(name[2]), set()).add(int(name[1]))
    for whole, divisions in found.items():
        if len(divisions) > 1:
            totals = " and ".join(map(str, sorted(divisions)))
            warnings.warn(
                f"{whole}: shards of {totals} are all read. If the same documents were divided "
                "twice, write a pattern that fits only the newer ones.",
                DataWarning,
                stacklevel=3,
            )
        for total, numbers in divisions.items():
            first = 1 if 0 not in numbers and total in numbers else 0
            missing = sorted(set(range(first, first + total)) - numbers)
            if missing:
                named = ", ".join(map(str, missing[:_MOST_NAMED]))
                more = len(missing) - _MOST_NAMED
                warnings.warn(
                    f"{whole}: of {total} shards, as their names say, {len(missing)} are not read: "
                    f"{named}{f' and {more} more' if more > 0 else ''}. Their documents are "
                    "missing, unless that is meant.",
                    DataWarning,
                    stacklevel=3,
                )


def _reader(path, options):
    if path.is_dir():
        if options["task"] not in (None, "single_label"):
            raise ValueError(
                f"{path}: a directory gives every document one label, its folder. Received: "
                f"task={options['task']!r}. Write the documents to a .jsonl file."
            )
        if options["weight_field"] is not None:
            raise ValueError(
                f"{path}: a directory has no field for weights. Received: "
                f"weight_field={options['weight_field']!r}. Write the documents to a .jsonl file."
            )
        return FolderReader(path, options["require_labels"], options["with_labels"])
    reader = record_reader(path, options)
    if reader is not None:
        return reader
    raise ValueError(
        f"{path}: cannot tell what it holds from its ending {path.suffix!r}. Expected .jsonl or "
        ".ndjson (one JSON object a line), .csv, .tsv (a first line that names the columns), each "
        "also with .gz or .zst, .parquet, .tfrecord, or a directory with one folder of .txt files "
        "for each class."
    )


def record_reader(path: pathlib.Path, options: dict) -> RecordReader | None:
    """Makes the reader of a file of records.

    Args:
        path: pathlib.Path. The file.
        options: dict. The keyword arguments of the reader.

    Returns:
        A `RecordReader`; None if the file's ending does not belong to a format of records.
    """
    plain = without_compression(path)
    match plain.suffix.lower():
        case ".jsonl" | ".ndjson":
            return JsonlReader(path, **options)
        case ".csv":
            return CsvReader(path, **options)
        case ".tsv":
            return CsvReader(path, **options, delimiter="\t")
        case ".parquet" if plain == path:
            return ParquetReader(path, **options)
    if _NUMBERED.sub("", path.name.lower().removesuffix(".gz")).endswith(
        (".tfrecord", ".tfrecords")
    ):
        return TFRecordReader(path, **options)
    return None
