"""JSON Lines: JsonlReader reads documents from it, write_jsonl writes them."""

import json
import os
from collections.abc import Iterable

from keras_combiner.atomic_files import atomic_write
from keras_combiner.datasets.document import Document, task_of
from keras_combiner.datasets.fields import TARGET_FIELDS, RecordError, kind
from keras_combiner.datasets.label_names import label_name
from keras_combiner.datasets.record_reader import RecordReader
from keras_combiner.datasets.text_lines import numbered_lines
from keras_combiner.datasets.weighted_document import WeightedDocument


class JsonlReader(RecordReader):
    """Documents from a JSON Lines file, compressed or not: one JSON object a line, in UTF-8.

    Blank lines are skipped. A label may be a string, a number or a boolean; the last two get the
    names that they have in every format, such as "1" and "True". Several labels are an array of
    those, the target of a regression is a number. Other fields are ignored, and may hold values
    that standard JSON does not have, such as NaN, which is refused as a label. An object that has a
    field twice, with different values, is refused.

    Args:
        path: str or path. The file; one that ends in .gz or .zst is decompressed.
        text_field: str. The name of the field with the text, a string.
        label_field: str or None. The name of the field with the target; see
            `keras_combiner.datasets.read_documents`.
        require_labels: bool. Whether every document must have a label. If not, the label of a
            document whose field is missing, null or blank is None.
        task: str or None. What kind of target it is; see `keras_combiner.datasets.read_documents`.
        with_labels: bool. Whether labels are read; see `keras_combiner.datasets.read_texts`.
        weight_field: str or None. The name of the field with the weight; see
            `keras_combiner.datasets.read_documents`.

    Raises:
        ValueError: on making it, for field names that are empty or equal, or an unknown task; on
            reading, for whatever is wrong in the file, naming the line.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.jsonl"
    >>> _ = path.write_text('{"review": "A fine book.", "stars": 5}')
    >>> list(JsonlReader(path, text_field="review", label_field="stars"))
    [Document(text='A fine book.', label='5')]
    """

    unit = "line"

    def records(self):
        """Yields every line that is not blank; see `RecordReader`."""
        fields, settled, empty = self._fields, False, True
        for number, line in numbered_lines(self._path):
            if isinstance(line, str) and (not line or line.isspace()):
                continue
            empty = False
            document = line
            if isinstance(line, str):
                try:
                    record = _record(line, fields.text_field)
                    if not settled:
                        fields, settled = fields.fixed(record), True
                    document = fields.document(record)
                except RecordError as error:
                    document = ValueError(f"{self._path}:{number}: {error}")
            yield number, document
        if empty:
            raise ValueError(f"{self._path}: empty. Expected one JSON object a line.")

    def __repr__(self):
        return f"{type(self).__name__}({str(self._path)!r})"


def _record(line, text_field):
    try:
        record = _DECODER.decode(line)
    except json.JSONDecodeError as error:
        raise RecordError(
            f"invalid JSON: {error.msg.removesuffix(' at')} at character {error.pos + 1} of the "
            "line. Every line must be one whole JSON object."
        ) from None
    # A number of thousands of digits, or brackets nested too deep.
    except (ValueError, RecursionError) as error:
        raise RecordError(f"unreadable JSON: {error}. Take the line out.") from None
    if not isinstance(record, dict):
        raise RecordError(
            f"expected a JSON object such as {{{json.dumps(text_field)}: ...}}, "
            f"received {kind(record)}."
        )
    if record.twice is not None:
        raise RecordError(
            f"field {record.twice!r} is there twice, with different values. Take one out."
        )
    return record


class _Object(dict):
    """An object of JSON, and the name of a field that it has twice, with different values."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.twice = None
        if len(self) != len(pairs):
            # As they are written: 1 and true are equal to Python.
            self.twice = next((x for x, value in pairs if repr(value) != repr(self[x])), None)


# Made once: json.loads would make one a line.
_DECODER = json.JSONDecoder(object_pairs_hook=_Object)


def write_jsonl(path: str | os.PathLike, documents: Iterable[Document]) -> int:
    """Writes documents as JSON Lines with the fields "text" and "label", "labels" or "target".

    The file appears whole or not at all: it is written under another name beside `path` and then
    takes its place. A document without a label is written without the field; one with a weight has
    it in a field "weight" besides.

    Args:
        path: str or path. The file to make or to replace.
        documents: iterable of `Document`, or of pairs of text and label: a name, or an int or a
            boolean, which are names; a list or tuple of them; a float, which is a target of
            regression; or None.

    Returns:
        int, the number of documents written.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.jsonl"
    >>> write_jsonl(path, [Document("A fine book.", "good")])
    1
    >>> path.read_text()
    '{"text": "A fine book.", "label": "good"}\\n'
    """
    count = 0
    with (
        atomic_write(path, overwrite=True) as unfinished,
        open(unfinished, "w", encoding="utf-8", newline="\n") as file,
    ):
        for document in documents:
            text, label = document
            record = {"text": text}
            label = _as_read(label)
            if label is not None:
                record[TARGET_FIELDS[task_of(label)]] = label
            if isinstance(document, WeightedDocument):
                record["weight"] = document.weight
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
    return count


def _as_read(label):
    """The label as a reader returns it: a name, a tuple of names, a float or None."""
    if label is None or isinstance(label, float):  # numpy's float64 is one
        return label
    if isinstance(label, (list, tuple, set, frozenset)):
        return tuple(map(label_name, label))
    return label_name(label)
