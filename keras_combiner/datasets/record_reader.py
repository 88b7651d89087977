"""RecordReader: documents of one file, each a record with a number."""

import abc
import os
import pathlib
from collections.abc import Iterator

from keras_combiner.datasets.document import Document
from keras_combiner.datasets.document_reader import DocumentReader
from keras_combiner.datasets.fields import Fields


class RecordReader(DocumentReader):
    """A `DocumentReader` of a file of records, which can also be read past records that are bad.

    Args:
        path: str or path. The file.
        text_field: str. The name of the field with the text.
        label_field: as in `keras_combiner.datasets.read_documents`.
        require_labels: as in `keras_combiner.datasets.read_documents`.
        task: as in `keras_combiner.datasets.read_documents`.
        with_labels: as in `keras_combiner.datasets.read_documents`.
        weight_field: as in `keras_combiner.datasets.read_documents`.

    Raises:
        ValueError: for field names that are empty or equal, or an unknown task.

    Example:

    >>> import pathlib, tempfile
    >>> from keras_combiner.datasets import read_documents
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.jsonl"
    >>> _ = path.write_text('{"text": 3}\\n{"text": "A fine book."}\\n')
    >>> reader = read_documents(path, require_labels=False)
    >>> [(number, type(document).__name__) for number, document in reader.records()]
    [(1, 'ValueError'), (2, 'Document')]
    """

    # What `records` counts: "line", "row" or "record".
    unit = "record"

    def __init__(
        self,
        path: str | os.PathLike,
        text_field: str = "text",
        label_field: str | None = None,
        require_labels: bool = True,
        task: str | None = None,
        with_labels: bool = True,
        weight_field: str | None = None,
    ):
        self._path = pathlib.Path(path)
        self._fields = Fields(
            text_field, label_field, task, require_labels, with_labels, weight_field
        )

    @property
    def has_weights(self) -> bool:
        """Whether documents have weights; see `DocumentReader`."""
        return self._fields.weight_field is not None

    @abc.abstractmethod
    def records(self) -> Iterator[tuple[int, Document | ValueError]]:
        """Yields every record with its number in the file, from 1.

        Returns:
            An iterator of pairs: the number, and the document, or a `ValueError` that names the
            place and says why there is none.

        Raises:
            ValueError: nothing more can be read from the file; the message says why.
        """

    def __iter__(self) -> Iterator[Document]:
        for _, document in self.records():
            if isinstance(document, ValueError):
                raise document
            yield document

    def places(self) -> Iterator[str]:
        """Yields the file, and the line or the number, of every record; see `DocumentReader`."""
        for number, document in self.records():
            if isinstance(document, ValueError):
                raise document
            yield self._place(number)

    def located(self) -> Iterator[tuple[str, Document | ValueError]]:
        """Yields every record after its place, past those that are bad; see `DocumentReader`."""
        try:
            for number, document in self.records():
                yield self._place(number), document
        except ValueError as error:  # nothing more can be read
            yield self.name, error

    def _place(self, number):
        unit = ":" if self.unit == "line" else f": {self.unit} "
        return f"{self.name}{unit}{number}"
