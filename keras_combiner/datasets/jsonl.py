"""JSON Lines: JsonlReader reads documents from it, write_jsonl writes them."""

import json
import os
import pathlib
from collections.abc import Iterable

from keras_combiner.datasets.document import Document
from keras_combiner.datasets.document_reader import DocumentReader
from keras_combiner.datasets.fields import check_field_names, listed
from keras_combiner.datasets.text_lines import decoded_lines
from keras_combiner.whole_files import written_whole


class JsonlReader(DocumentReader):
    """Documents from a JSON Lines file: one JSON object a line, in UTF-8.

    Blank lines are skipped. A label may be a string, a number or a boolean; the last two become
    their JSON spelling, such as "1" and "true". Other fields are ignored.

    Args:
        path: str or path. The file.
        text_field: str. The name of the field with the text, a string.
        label_field: str. The name of the field with the label.
        require_labels: bool. Whether every document must have a label. If not, the label of a
            document whose field is missing, null or blank is None.

    Raises:
        ValueError: on making it, for field names that are empty or equal; on reading, for whatever
            is wrong in the file, naming the line.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.jsonl"
    >>> _ = path.write_text('{"review": "A fine book.", "stars": 5}')
    >>> list(JsonlReader(path, text_field="review", label_field="stars"))
    [Document(text='A fine book.', label='5')]
    """

    def __init__(
        self,
        path: str | os.PathLike,
        text_field: str = "text",
        label_field: str = "label",
        require_labels: bool = True,
    ):
        check_field_names(text_field, label_field)
        self._path = pathlib.Path(path)
        self._text_field = text_field
        self._label_field = label_field
        self._require_labels = require_labels

    def __iter__(self):
        empty = True
        for number, line in enumerate(decoded_lines(self._path), start=1):
            if not line or line.isspace():
                continue
            empty = False
            try:
                yield self._document(line)
            except _RecordError as error:
                raise ValueError(f"{self._path}:{number}: {error}") from None
        if empty:
            raise ValueError(f"{self._path}: empty. Expected one JSON object a line.")

    def __repr__(self):
        return f"{type(self).__name__}({str(self._path)!r})"

    def _document(self, line):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise _RecordError(
                f"invalid JSON: {error.msg} at character {error.pos + 1} of the line. "
                "Every line must be one whole JSON object."
            ) from None
        # A number of thousands of digits, or brackets nested too deep.
        except (ValueError, RecursionError) as error:
            raise _RecordError(f"unreadable JSON: {error}. Take the line out.") from None
        if not isinstance(record, dict):
            raise _RecordError(
                f"expected a JSON object such as {{{json.dumps(self._text_field)}: ...}}, "
                f"received {_kind(record)}."
            )
        return Document(self._text(record), self._label(record))

    def _text(self, record):
        if self._text_field not in record:
            raise self._missing(record, "text_field", self._text_field)
        text = record[self._text_field]
        if not isinstance(text, str):
            raise _RecordError(
                f"field {self._text_field!r} must be a string, received {_kind(text)}. "
                "If the text is in another field, name it with text_field=..."
            )
        return _encodable(text, self._text_field)

    def _label(self, record):
        label = record.get(self._label_field)
        if isinstance(label, str) and label.strip():
            return _encodable(label, self._label_field)
        if isinstance(label, bool | int | float):
            return json.dumps(label)
        if label is not None and not isinstance(label, str):
            raise _RecordError(
                f"field {self._label_field!r} must be a string or a number, received "
                f"{_kind(label)}. If the label is in another field, name it with label_field=..."
            )
        if not self._require_labels:
            return None
        if self._label_field not in record:
            raise self._missing(record, "label_field", self._label_field)
        raise _RecordError(
            f"field {self._label_field!r} is {'null' if label is None else 'blank'}. "
            "Give the document a label or take the line out."
        )

    @staticmethod
    def _missing(record, argument, name):
        return _RecordError(
            f"no field {name!r}; fields are {listed(record)}. Name it with {argument}=..."
        )


def write_jsonl(path: str | os.PathLike, documents: Iterable[Document]) -> int:
    """Write documents as JSON Lines with the fields "text" and "label".

    The file appears whole or not at all: it is written under another name beside `path` and then
    takes its place. A document without a label is written without the field.

    Args:
        path: str or path. The file to make or to replace.
        documents: iterable of `Document`, or of pairs of text and label.

    Returns:
        int, the number of documents written.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.jsonl"
    >>> write_jsonl(path, [Document("A fine book.", "good")])
    1
    >>> path.read_text()
    '{"text": "A fine book.", "label": "good"}\\n'
    """
    count = 0
    with (
        written_whole(path, overwrite=True) as unfinished,
        open(unfinished, "w", encoding="utf-8", newline="\n") as file,
    ):
        for text, label in documents:
            record = {"text": text} if label is None else {"text": text, "label": label}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
    return count


class _RecordError(ValueError):
    """What is wrong with a line, before the line's number is known."""


def _encodable(text, field):
    """Give `text` back unless JSON escapes put half a surrogate pair in it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _RecordError(
            f"field {field!r} has half a surrogate pair, {text[error.start]!a}, at character "
            f"{error.start}, which is no text. Write the file anew from the original text."
        ) from None
    return text


def _kind(value):
    """Name a JSON value's type in JSON's words."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), "an array" if isinstance(value, list) else "an object")
