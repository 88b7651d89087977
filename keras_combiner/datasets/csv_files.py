"""CsvReader: documents from comma- or tab-separated values."""

import csv
import os
import pathlib
import threading

from keras_combiner.datasets.document import Document
from keras_combiner.datasets.document_reader import DocumentReader
from keras_combiner.datasets.fields import check_field_names, listed
from keras_combiner.datasets.text_lines import decoded_lines

# The csv module refuses fields of more than 128 KiB unless told otherwise, and can be told only
# for the whole process. The limit is lifted for one record at a time, under a lock, and put back,
# so that other users of csv keep theirs. A C long is 32 bits on some platforms.
_NO_LIMIT = 2**31 - 1
_limit_lock = threading.Lock()


class CsvReader(DocumentReader):
    """Documents from a CSV file whose first line names the columns, in UTF-8.

    Quoting is that of the csv module and of spreadsheets: a field that holds the delimiter, a line
    end or a double quote stands in double quotes, and a double quote in it is doubled. Blank lines
    are skipped. Other columns are ignored. Fields may be of any size up to 2 GB.

    Args:
        path: str or path. The file.
        text_field: str. The name of the column with the text.
        label_field: str. The name of the column with the label.
        require_labels: bool. Whether every document must have a label. If not, the label is None
            where the column is missing or the field is blank.
        delimiter: str. What stands between fields, "," or "\\t" as a rule.

    Raises:
        ValueError: on making it, for field names that are empty or equal; on reading, for whatever
            is wrong in the file, naming the line on which the record starts.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.csv"
    >>> _ = path.write_text('review,stars\\n"Fine, and long.",5\\n')
    >>> list(CsvReader(path, text_field="review", label_field="stars"))
    [Document(text='Fine, and long.', label='5')]
    """

    def __init__(
        self,
        path: str | os.PathLike,
        text_field: str = "text",
        label_field: str = "label",
        require_labels: bool = True,
        delimiter: str = ",",
    ):
        check_field_names(text_field, label_field)
        self._path = pathlib.Path(path)
        self._text_field = text_field
        self._label_field = label_field
        self._require_labels = require_labels
        self._delimiter = delimiter

    def __iter__(self):
        records = self._records()
        number, header = next(records, (1, None))
        if header is None:
            raise ValueError(f"{self._path}: empty. Expected a first line that names the columns.")
        text_column = self._column(number, header, "text_field", self._text_field)
        if self._require_labels or self._label_field in header:
            label_column = self._column(number, header, "label_field", self._label_field)
        else:
            label_column = None

        empty = True
        for number, record in records:
            if len(record) != len(header):
                raise self._error(
                    number,
                    f"expected {len(header)} fields as in the first line, received {len(record)}. "
                    f"A field that holds {self._delimiter!r} or a line end must be in double "
                    "quotes.",
                )
            empty = False
            label = None if label_column is None else record[label_column]
            if label is None or not label.strip():
                if self._require_labels:
                    raise self._error(
                        number,
                        f"field {self._label_field!r} is blank. Give the document a label or take "
                        "the record out.",
                    )
                label = None
            yield Document(record[text_column], label)
        if empty:
            raise ValueError(f"{self._path}: no records below the line that names the columns.")

    def __repr__(self):
        return f"{type(self).__name__}({str(self._path)!r})"

    def _records(self):
        """Yield every record that is not a blank line, after the line it starts on."""
        # Strict, or else a quote that is never closed would swallow the rest of the file.
        reader = csv.reader(decoded_lines(self._path), delimiter=self._delimiter, strict=True)
        while True:
            number = reader.line_num + 1
            try:
                record = _next_without_limit(reader)
            except csv.Error as error:
                raise self._error(
                    number,
                    f"invalid CSV: {error}. A field that holds a double quote must be in double "
                    "quotes, with the quote in it doubled.",
                ) from None
            if record is None:
                return
            if record:
                yield number, record

    def _column(self, number, header, argument, name):
        if name not in header:
            raise self._error(
                number,
                f"no column {name!r}; columns are {listed(header)}, taking {self._delimiter!r} as "
                f"what stands between them. Name it with {argument}=...",
            )
        if header.count(name) > 1:
            raise self._error(number, f"{header.count(name)} columns named {name!r}. Rename one.")
        return header.index(name)

    def _error(self, number, message):
        return ValueError(f"{self._path}:{number}: {message}")


def _next_without_limit(reader):
    """Give the next record of a csv.reader, or None at the end."""
    with _limit_lock:
        limit = csv.field_size_limit(_NO_LIMIT)
        try:
            return next(reader, None)
        finally:
            csv.field_size_limit(limit)
