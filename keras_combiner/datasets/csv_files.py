"""CsvReader: documents from comma- or tab-separated values."""

import contextlib
import csv
import os
import re
import threading

from keras_combiner.datasets.fields import RecordError, listed
from keras_combiner.datasets.label_names import LabelError, text_label_name
from keras_combiner.datasets.record_reader import RecordReader
from keras_combiner.datasets.text_encoding import LineError
from keras_combiner.datasets.text_lines import numbered_lines

# The csv module refuses fields of more than 128 KiB by default, and the limit can be set only
# for the whole process. The limit is lifted for one record at a time, under a lock, and put back,
# so that other users of csv keep theirs. A C long is 32 bits on some platforms.
_NO_LIMIT = 2**31 - 1
_limit_lock = threading.Lock()

LABEL_SEPARATOR = "|"

_SPACES_AND_QUOTE = re.compile(' +"')


class CsvReader(RecordReader):
    """Documents from a CSV file, compressed or not, in UTF-8, whose first line names the columns.

    Quoting is that of the csv module and of spreadsheets: a field that holds the delimiter, a line
    end or a double quote stands in double quotes, and a double quote in it is doubled. Blank lines
    are skipped. Other columns are ignored. Fields may be of any size up to 2 GB. A label that looks
    like a boolean or a whole number gets its name: "TRUE" is "True", and "1.0" is "1". Several
    labels stand in one field with "|" between them, and a blank field is none; the target of a
    regression is a number.

    Some programs write a space after the delimiter. Before a double quote it would make the quotes
    part of the field, and the field end at the first delimiter in it: such a record is refused.

    Args:
        path: str or path. The file; one that ends in .gz or .zst is decompressed.
        text_field: str. The name of the column with the text.
        label_field: str or None. The name of the column with the target; see
            `keras_combiner.datasets.read_documents`.
        require_labels: bool. Whether every document must have a label. If not, the label is None
            where the column is missing or the field is blank.
        delimiter: str. What stands between fields, "," or "\\t" as a rule.
        task: str or None. What kind of target it is; see `keras_combiner.datasets.read_documents`.
        with_labels: bool. Whether labels are read; see `keras_combiner.datasets.read_texts`.
        weight_field: str or None. The name of the column with the weight; see
            `keras_combiner.datasets.read_documents`.

    Raises:
        ValueError: on making it, for field names that are empty or equal, or an unknown task; on
            reading, for whatever is wrong in the file, naming the line on which the record starts.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.csv"
    >>> _ = path.write_text('review,stars\\n"Fine, and long.",5\\n')
    >>> list(CsvReader(path, text_field="review", label_field="stars"))
    [Document(text='Fine, and long.', label='5')]
    """

    unit = "line"

    def __init__(
        self,
        path: str | os.PathLike,
        text_field: str = "text",
        label_field: str | None = None,
        require_labels: bool = True,
        delimiter: str = ",",
        task: str | None = None,
        with_labels: bool = True,
        weight_field: str | None = None,
    ):
        super().__init__(
            path, text_field, label_field, require_labels, task, with_labels, weight_field
        )
        self._delimiter = delimiter

    def records(self):
        """Yields every record by the line on which it starts; see `RecordReader`."""
        records = self._records()
        number, header = next(records, (1, None))
        if isinstance(header, ValueError):
            raise header
        if header is None:
            raise ValueError(f"{self._path}: empty. Expected a first line that names the columns.")
        try:
            fields = self._fields.fixed(header)
        except RecordError as error:
            raise self._error(number, str(error)) from None
        text_column = self._column(number, header, "text_field", fields.text_field)
        if fields.require_labels or (fields.with_labels and fields.label_field in header):
            label_column = self._column(number, header, "label_field", fields.label_field)
        else:
            label_column = None
        columns = {fields.text_field: text_column, fields.label_field: label_column}
        if fields.weight_field is not None:
            columns[fields.weight_field] = self._column(
                number, header, "weight_field", fields.weight_field
            )

        empty = True
        for number, record in records:
            empty = False
            document = record
            if not isinstance(record, ValueError):
                try:
                    if record[1:] == header[1:] and record[0].lstrip("\ufeff") == header[0]:
                        raise RecordError(
                            "the names of the columns again, as where files are joined. Take the "
                            "line out."
                        )
                    document = self._document(record, header, fields, columns)
                except RecordError as error:
                    document = self._error(number, str(error))
            yield number, document
        if empty:
            raise ValueError(f"{self._path}: no records below the line that names the columns.")

    def __repr__(self):
        return f"{type(self).__name__}({str(self._path)!r})"

    def _document(self, record, header, fields, columns):
        if len(record) != len(header):
            raise RecordError(
                f"expected {len(header)} fields as in the first line, received {len(record)}. "
                f"A field that holds {self._delimiter!r} or a line end must be in double quotes."
            )
        # An optional column that the file does not have has the index None.
        values = {name: None if i is None else record[i] for name, i in columns.items()}
        if columns[fields.label_field] is not None:
            values[fields.label_field] = _target(values[fields.label_field], fields.task)
        if fields.weight_field is not None:
            values[fields.weight_field] = _number(values[fields.weight_field])
        return fields.document(values)

    def _records(self):
        """Yields every record that is not a blank line, or an error, after its first line."""
        lines = _Lines(self._path)
        # Strict, or else a quote that is never closed would swallow the rest of the file.
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        while True:
            number = reader.line_num + 1
            lines.start_record()
            try:
                record = _next_without_limit(reader)
            except csv.Error as error:
                record = self._error(
                    number,
                    f"invalid CSV: {error}. A field that holds a double quote must be in double "
                    "quotes, with the quote in it doubled.",
                )
            if record is None:
                return
            if lines.error is not None:
                record = lines.error
            elif self._has_spaces_before_quotes(record, lines.record):
                record = self._error(
                    number,
                    f"a space between {self._delimiter!r} and a double quote, which makes the "
                    "quote part of the field. Take the space out.",
                )
            if isinstance(record, ValueError) or record:
                yield number, record

    def _has_spaces_before_quotes(self, record, lines):
        """Whether a field begins with spaces and an opening quote, which the csv module ignores."""
        if isinstance(record, ValueError):
            return False
        suspects = [
            i for i, cell in enumerate(record) if cell[:1] == " " and _SPACES_AND_QUOTE.match(cell)
        ]
        if not suspects:
            return False
        # A text that begins so, and stands in quotes as it should, reads the same in both ways.
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True, skipinitialspace=True)
        try:
            without = _next_without_limit(reader)
        except csv.Error as error:
            # Else the field goes on after the closing quote: these quotes are the text's own.
            return "end of data" in str(error)
        return len(without) != len(record) or any(without[i] != record[i] for i in suspects)

    def _column(self, number, header, argument, name):
        if name not in header:
            raise self._error(
                number,
                f"no column {name!r}; columns are {listed(header)}, with {self._delimiter!r} as "
                f"the delimiter. Name it with {argument}=...",
            )
        if header.count(name) > 1:
            raise self._error(number, f"{header.count(name)} columns named {name!r}. Rename one.")
        return header.index(name)

    def _error(self, number, message):
        return ValueError(f"{self._path}:{number}: {message}")


class _Lines:
    """The lines of a file, those of the present record, and what is wrong with one of them.

    Attributes:
        record: list of str, the lines that were read since `start_record`.
        error: `LineError`, of the first of them that is not text; None if all are.
    """

    def __init__(self, path):
        self._lines = numbered_lines(path)
        self.start_record()

    def __iter__(self):
        return self

    def __next__(self):
        _, line = next(self._lines)
        if isinstance(line, LineError):
            # The record goes on: where it ends depends on the quotes of every line.
            self.error = self.error or line
            line = line.line
        self.record.append(line)
        return line

    def start_record(self):
        """Forgets the lines of the record before."""
        self.record, self.error = [], None


def _target(content, task):
    """Returns what JSON would have in place of a field: a number, or else the string itself."""
    if task == "multi_label":
        names = content.split(LABEL_SEPARATOR) if content.strip() else []
        return [_label(name.strip()) for name in names]
    return _number(content) if task == "regression" else _label(content)


def _number(content):
    """Returns the number that a cell holds, or else the string itself."""
    with contextlib.suppress(ValueError):
        return float(content.replace("_", "no number"))  # Python alone reads 1_000
    return content


def _label(content):
    """The name of a label, or what says that it is missing."""
    try:
        return text_label_name(content)
    except LabelError:
        return float("nan") if content.strip() else content


def _next_without_limit(reader):
    """Returns the next record of a csv.reader, or None at the end."""
    with _limit_lock:
        limit = csv.field_size_limit(_NO_LIMIT)
        try:
            return next(reader, None)
        finally:
            csv.field_size_limit(limit)
