"""shard_records reads the records of a shard; length_batches puts texts of like length together."""

import contextlib
import os
import pathlib
import shutil
import tempfile

from keras_combiner.datasets.readers import read_documents
from keras_combiner.datasets.record_reader import RecordReader

# The name of no field, so that labels are not read: the model is asked for them.
_NO_LABEL = "\0"


def shard_records(path, text_field="text", name=None):
    """Reads a shard past what is bad in it.

    Args:
        path: str, a local file.
        text_field: str, the field or column with the text.
        name: str, what the messages call the file; `path` if None.

    Returns:
        An iterator of (place, text, reason): `place` is a dict such as {"line": 3}; `text` is a
        str, or None and `reason` says why. An error after which nothing more can be read comes
        last, and has no place.

    Raises:
        ValueError: if the file's ending is not one of a format of records, or for a wrong name.
        ImportError: if what reads the file is missing.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "some.jsonl"
    >>> _ = path.write_text('{"text": "a fine book"}\\n{"text": 3}\\n')
    >>> for place, text, reason in shard_records(str(path)):
    ...     print(place, text, reason and reason[:30])
    {'line': 1} a fine book None
    {'line': 2} None field 'text' must be a string,
    """
    reader = shard_reader(path, text_field)
    try:
        for number, document in reader.records():
            place = {reader.unit: number}
            if isinstance(document, ValueError):
                yield place, None, _reason(document, path, reader.unit, number)
            else:
                yield place, document.text, None
    except ValueError as error:
        yield {}, None, f"Nothing more was read. {str(error).replace(str(path), name or str(path))}"


def shard_reader(path, text_field="text"):
    """Returns the reader of a shard, without reading it yet.

    Args:
        path: str, a local file.
        text_field: str, the field or column with the text.

    Returns:
        `RecordReader` that asks for no label.

    Raises:
        ValueError: if the file's ending is not one of a format of records, or for a wrong name.
    """
    reader = read_documents(
        pathlib.Path(path), text_field=text_field, label_field=_NO_LABEL, require_labels=False
    )
    if not isinstance(reader, RecordReader):
        raise ValueError(
            f"{path}: expected a file of records, .jsonl or .ndjson, .csv or .tsv (each also with "
            ".gz or .zst), .parquet or .tfrecord."
        )
    return reader


def _reason(error, path, unit, number):
    """The message without the place, which is told beside it."""
    message = str(error)
    for start in (f"{path}:{number}: ", f"{path}: {unit} {number}: "):
        message = message.removeprefix(start)
    return message


def length_batches(records, batch_size=16, pool_size=512, pool_characters=2**26):
    """Puts documents of about the same length together, so that little of a batch is padding.

    Args:
        records: iterable of pairs, the second of each a text.
        batch_size: int, texts a batch.
        pool_size: int, how many texts are held in memory to be sorted.
        pool_characters: int, how many characters of them.

    Returns:
        An iterator of lists of at most `batch_size` of the pairs. It depends on the records alone:
        the same shard makes the same batches.

    Example:

    >>> texts = enumerate(["aaa", "a", "aaaa", "aa"])
    >>> [[text for _, text in batch] for batch in length_batches(texts, batch_size=2)]
    [['a', 'aa'], ['aaa', 'aaaa']]
    """
    pool, size = [], 0
    for record in records:
        pool.append(record)
        size += len(record[1])
        if len(pool) == pool_size or size >= pool_characters:
            yield from _sorted_batches(pool, batch_size)
            pool, size = [], 0
    yield from _sorted_batches(pool, batch_size)


def _sorted_batches(pool, batch_size):
    pool = sorted(pool, key=lambda x: len(x[1]))
    for i in range(0, len(pool), batch_size):
        yield pool[i : i + batch_size]


@contextlib.contextmanager
def local_copy(path):
    """Yields a local file of the same name and content.

    Args:
        path: str, on any file system that Beam knows.

    Yields:
        str, `path` itself if it is a local one.
    """
    if os.path.exists(path):
        yield path
        return
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, path.rsplit("/", 1)[-1])
        with (
            FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as source,
            open(copy, "wb") as target,
        ):
            shutil.copyfileobj(source, target, 2**20)
        yield copy
