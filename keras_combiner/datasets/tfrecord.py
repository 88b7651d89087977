"""TFRecordReader: documents from files of tf.train.Example."""

import gzip
import re
import zlib

import numpy as np

from keras_combiner.datasets.compression import open_bytes
from keras_combiner.datasets.fields import RecordError
from keras_combiner.datasets.record_reader import RecordReader

# Bytes around the content of a record: its length, and a checksum of both.
_FRAME = 16
_BUFFER = 2**20


class TFRecordReader(RecordReader):
    """Documents from a TFRecord file of `tf.train.Example`, one record in memory at a time.

    The text is a feature of one byte string, in UTF-8. A label is one byte string, integer or
    float; several labels are any number of byte strings or integers; the target of a regression is
    one float or integer. Other features are ignored.

    Args:
        path: str or path. The file; one that ends in .gz is decompressed.
        text_field: str. The name of the feature with the text.
        label_field: str or None. The name of the feature with the target; see
            `keras_combiner.datasets.read_documents`.
        require_labels: bool. Whether every document must have a label. If not, the label is None
            where the feature is missing, empty or blank.
        task: str or None. What kind of target it is; see `keras_combiner.datasets.read_documents`.
        with_labels: bool. Whether labels are read; see `keras_combiner.datasets.read_texts`.
        weight_field: str or None. The name of the feature with the weight; see
            `keras_combiner.datasets.read_documents`.

    Raises:
        ValueError: on making it, for field names that are empty or equal, or an unknown task; on
            reading, for whatever is wrong in the file, naming the record, counted from 1.

    Example:

    >>> import pathlib, tempfile
    >>> import tensorflow as tf
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.tfrecord"
    >>> def feature(value):
    ...     return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    >>> features = {"text": feature(b"A fine book."), "label": feature(b"good")}
    >>> example = tf.train.Example(features=tf.train.Features(feature=features))
    >>> with tf.io.TFRecordWriter(str(path)) as writer:
    ...     writer.write(example.SerializeToString())
    >>> list(TFRecordReader(path))
    [Document(text='A fine book.', label='good')]
    """

    def records(self):
        """Yields every record; see `RecordReader`."""
        # Imported here so that other formats do not wait for TensorFlow to load.
        import tensorflow as tf
        from google.protobuf.message import DecodeError

        fields, settled, number, size = self._fields, False, 0, 0
        try:
            for content in self._records(tf):
                number += 1
                size += _FRAME + len(content)
                try:
                    features = tf.train.Example.FromString(content).features.feature
                    if not settled:
                        fields, settled = fields.fixed(features), True
                    document = fields.document(_record(features, fields))
                except DecodeError:
                    document = self._error(number, "not a tf.train.Example.")
                except RecordError as error:
                    document = self._error(number, error)
                yield number, document
        except tf.errors.OpError as error:
            # Without the names of graph nodes around it.
            reason = re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*", "", error.message, flags=re.DOTALL)
            raise self._error(number + 1, f"not TFRecord data, or damaged: {reason}") from None
        # Within the frame of a record, TensorFlow takes the end of a cut file for a good one.
        if not self._holds(size):
            raise self._error(number + 1, "the file ends in the middle of it. Was it copied whole?")
        if number == 0:
            raise ValueError(f"{self._path}: no records.")

    def __repr__(self):
        return f"{type(self).__name__}({str(self._path)!r})"

    def _error(self, number, message):
        return ValueError(f"{self._path}: record {number}: {message}")

    def _records(self, tf):
        """Yields the content of every record, without a graph or a thread of its own."""
        compression = "GZIP" if self._is_compressed else ""
        dataset = tf.data.TFRecordDataset(str(self._path), compression, buffer_size=_BUFFER)
        for record in dataset:
            yield record.numpy()

    @property
    def _is_compressed(self):
        return self._path.suffix.lower() == ".gz"

    def _holds(self, size):
        """Tells whether the file, decompressed, has `size` bytes."""
        file_size = self._path.stat().st_size
        if not self._is_compressed:
            return file_size == size
        with open(self._path, "rb") as file:
            file.seek(max(0, file_size - 4))
            # As gzip ends. Without a record it would be zeros, which stand at its start, too.
            if size and int.from_bytes(file.read(), "little") == size % 2**32:
                return True
        # Of several compressed files, one after the other, these bytes are those of the last.
        try:
            with open_bytes(self._path) as file:
                return sum(iter(lambda: len(file.read(_BUFFER)), 0)) == size
        except (EOFError, gzip.BadGzipFile, zlib.error):
            return False


def _record(features, fields):
    """Makes a mapping of the features that are wanted."""
    record, wanted = {}, {fields.text_field, fields.weight_field}
    if fields.with_labels:
        wanted.add(fields.label_field)
    for name, feature in sorted(features.items()):  # a protobuf map has no order
        if name not in wanted:
            record[name] = None  # for messages, which list the names
            continue
        values = _values(feature, name)
        if name == fields.label_field and fields.task == "multi_label":
            record[name] = values
        elif len(values) > 1:
            record[name] = values  # which is refused as an array
        else:
            record[name] = values[0] if values else None
    return record


def _values(feature, name):
    """Returns the values of a `tf.train.Feature` as a list."""
    which = feature.WhichOneof("kind")
    if which is None:
        return []
    values = list(getattr(feature, which).value)
    if which == "float_list":
        # A float32 of 0.1 is 0.10000000149 as a Python float, and would be another label.
        return [float(str(np.float32(value))) for value in values]
    if which != "bytes_list":
        return values
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise RecordError(
            f"feature {name!r} is not UTF-8 at byte {error.start} "
            f"(0x{error.object[error.start]:02x}, {error.reason}). Write the text as UTF-8."
        ) from None
