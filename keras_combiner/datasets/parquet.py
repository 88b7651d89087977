"""ParquetReader: documents from the rows of a Parquet file."""

import json

import numpy as np

from keras_combiner.datasets.fields import RecordError, listed
from keras_combiner.datasets.record_reader import RecordReader

# Rows in memory at a time, and bytes of a column that are read ahead: row groups may be larger than
# memory, and are never read whole.
_ROWS = 32
_BUFFER = 2**20


class ParquetReader(RecordReader):
    """Documents from a Parquet file, a few rows in memory at a time.

    Only the columns of text and target are read. Targets are as in a
    `keras_combiner.datasets.jsonl.JsonlReader`: a string or a number, a list of them, or a number.
    In a file of a Hugging Face data set whose labels are ids of a `ClassLabel`, they are the names
    that its schema has for them, and -1 means "no label".

    Args:
        path: str or path. The file.
        text_field: str. The name of the column with the text, strings.
        label_field: str or None. The name of the column with the target; see
            `keras_combiner.datasets.read_documents`.
        require_labels: bool. Whether every document must have a label. If not, the label is None
            where the column is missing or the value null or blank.
        task: str or None. What kind of target it is; see `keras_combiner.datasets.read_documents`.
        with_labels: bool. Whether labels are read; see `keras_combiner.datasets.read_texts`.
        weight_field: str or None. The name of the column with the weight; see
            `keras_combiner.datasets.read_documents`.

    Raises:
        ImportError: on reading, when pyarrow is missing (extra "parquet").
        ValueError: on making it, for field names that are empty or equal, or an unknown task; on
            reading, for whatever is wrong in the file, naming the row, counted from 1.

    Example:

    >>> import pathlib, tempfile
    >>> import pyarrow, pyarrow.parquet
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.parquet"
    >>> table = pyarrow.table({"text": ["A fine book."], "label": ["good"]})
    >>> pyarrow.parquet.write_table(table, path)
    >>> list(ParquetReader(path))
    [Document(text='A fine book.', label='good')]
    """

    unit = "row"

    def records(self):
        """Yields every row; see `RecordReader`."""
        pyarrow, parquet = import_pyarrow()
        try:
            with parquet.ParquetFile(self._path, buffer_size=_BUFFER, pre_buffer=False) as file:
                yield from self._documents(file)
        except pyarrow.ArrowException as error:
            raise ValueError(
                f"{self._path}: not a Parquet file, or a damaged one: {error}"
            ) from None

    def __repr__(self):
        return f"{type(self).__name__}({str(self._path)!r})"

    def _documents(self, file):
        names = file.schema_arrow.names
        try:
            fields = self._fields.fixed(names)
        except RecordError as error:
            raise ValueError(f"{self._path}: {error}") from None
        wanted = [("text_field", fields.text_field)]
        if fields.require_labels or (fields.with_labels and fields.label_field in names):
            wanted.append(("label_field", fields.label_field))
        has_labels = len(wanted) == 2
        if fields.weight_field is not None:
            wanted.append(("weight_field", fields.weight_field))
        for argument, name in wanted:
            if names.count(name) > 1:
                raise ValueError(
                    f"{self._path}: {names.count(name)} columns named {name!r}. Rename one."
                )
            if name not in names:
                raise ValueError(
                    f"{self._path}: no column {name!r}; columns are {listed(names)}. Name it with "
                    f"{argument}=..."
                )
        if file.metadata.num_rows == 0:
            raise ValueError(f"{self._path}: no rows.")
        number = 0
        columns = [name for _, name in wanted]
        target = _target_of(file.schema_arrow, fields) if has_labels else None
        for batch in file.iter_batches(batch_size=_ROWS, columns=columns, use_threads=False):
            for record in batch.to_pylist():
                number += 1
                try:
                    if target is not None:
                        record[fields.label_field] = target(record[fields.label_field])
                    document = fields.document(record)
                except RecordError as error:
                    document = ValueError(f"{self._path}: row {number}: {error}")
                yield number, document


def _target_of(schema, fields):
    """What makes a target of a value of the column; None if the value is one as it stands."""
    if fields.task != "regression":
        names = _class_names(schema, fields.label_field)
        if names is not None:
            return _each(lambda label: _class_name(label, names, fields.label_field))
    kind = str(schema.field(fields.label_field).type)
    # A float32 of 0.1 is 0.10000000149 as a Python float, and would be another label.
    for narrow, dtype in (("float", np.float32), ("halffloat", np.float16)):
        if kind == narrow or f": {narrow}>" in kind:
            return _each(lambda x, dtype=dtype: None if x is None else float(str(dtype(x))))
    return None


def _each(function):
    return lambda value: list(map(function, value)) if isinstance(value, list) else function(value)


def _class_names(schema, column):
    """The names of the classes of a Hugging Face data set's column, or None if it has none."""
    content = (schema.metadata or {}).get(b"huggingface")
    if content is None:
        return None
    try:
        feature = json.loads(content)["info"]["features"][column]
        # Several labels: "Sequence" and later "List" with a feature in it, or a list in JSON.
        while isinstance(feature, list) or "feature" in feature:
            feature = feature[0] if isinstance(feature, list) else feature["feature"]
        return feature["names"] if feature["_type"] == "ClassLabel" else None
    except (ValueError, LookupError, TypeError):  # no such features, which is allowed
        return None


def _class_name(label, names, field):
    if label is None or label == -1:
        return None
    if isinstance(label, str):
        return label
    if label != label or label != int(label) or not 0 <= label < len(names):
        raise RecordError(
            f"field {field!r} is {label}, which is the id of none of the {len(names)} classes that "
            "the schema of the Hugging Face data set names."
        )
    return names[int(label)]


def import_pyarrow():
    """Imports what reads and writes Parquet files.

    Returns:
        pair of the modules `pyarrow` and `pyarrow.parquet`.

    Raises:
        ImportError: if pyarrow is missing (extra "parquet").
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            "Parquet files are read and written with pyarrow. "
            "Install it with: pip install keras_combiner[parquet]"
        ) from error
    return pyarrow, pyarrow.parquet
