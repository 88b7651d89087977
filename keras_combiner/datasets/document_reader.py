"""DocumentReader: documents that can be read again and again, one at a time."""

import abc
import hashlib
import itertools
import json
import math
import numbers
from collections.abc import Iterable, Iterator
from fractions import Fraction

from keras_combiner.datasets.document import Document, task_of
from keras_combiner.generator_dataset import generator_dataset


class DocumentReader(abc.ABC):
    """Documents read from disk, one at a time, as often as they are asked for.

    `read_documents` makes one. Every `for` loop over a reader opens the files again, so it serves
    any number of epochs, and never holds more than one document: a file may be larger than memory.
    Whatever is wrong in a file is a `ValueError` that names the file and the line, raised by the
    loop when it gets there.

    Example:

    >>> import pathlib, tempfile
    >>> from keras_combiner.datasets import read_documents
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.csv"
    >>> _ = path.write_text("text,label\\nA fine book.,good\\nToo long.,bad\\n")
    >>> reader = read_documents(path)
    >>> next(iter(reader))
    Document(text='A fine book.', label='good')
    >>> sorted(set(reader.labels()))
    ['bad', 'good']
    """

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Document]:
        """Yields every document, from the first."""

    @property
    def name(self) -> str:
        """The file or directory that is read, str."""
        return str(getattr(self, "_path", self))

    @property
    def task(self) -> str | None:
        """What kind of targets the first document with one has; reads as far as it.

        One of "single_label", "multi_label" and "regression"; None without any target.
        """
        return next(filter(None, map(task_of, self.labels())), None)

    @property
    def has_weights(self) -> bool:
        """Whether every document is a `WeightedDocument`, whose weight training takes."""
        return False

    @property
    def keeps_alike_labels(self) -> bool:
        """Whether labels that differ in white space only are classes of their own.

        The reader then warns of them. Otherwise whoever learns the classes refuses them.
        """
        return False

    def places(self) -> Iterator[str]:
        """Yields where every document stands, as an error would name it; reads as it goes.

        The file and the line, or the number of the record in the file, from 1.
        """
        for number, _ in enumerate(self, start=1):
            yield f"{self.name}: record {number}"

    def located(self) -> Iterator[tuple[str, Document | ValueError]]:
        """Yields every document after its place, and goes on past what cannot be read.

        Returns:
            An iterator of pairs: the place, as `places` has it, and the document, or a `ValueError`
            that says what is wrong there.
        """
        return zip(self.places(), self, strict=True)

    def texts(self) -> Iterable[str]:
        """Returns the texts alone, for a vocabulary to be learned from.

        Returns:
            A re-iterable of str, which streams as the reader does.
        """
        return _Column(self, "text")

    def labels(self) -> Iterable[str | None]:
        """Returns the labels alone.

        Returns:
            A re-iterable of str, tuples of str or floats, or of None for a document without one.
        """
        return _Column(self, "label")

    def split(
        self, validation_fraction: float, seed: int = 0
    ) -> tuple["DocumentReader", "DocumentReader"]:
        """Divides the documents into a training and a validation part, without reading them yet.

        The documents are taken in runs of about `1 / validation_fraction` neighbors, and the seed
        picks one of each run for validation. So a file sorted by class still gives every class its
        share, the share is met to within one document, and the same seed always gives the same
        parts. Each part streams the whole file and skips what belongs to the other.

        Args:
            validation_fraction: float. The share held out, between 0 and 1, exclusive. With fewer
                than `1 / validation_fraction` documents the validation part may come out empty.
            seed: int. Another seed picks other documents.

        Returns:
            A pair of readers, training and validation.

        Raises:
            ValueError: `validation_fraction` is not between 0 and 1, or `seed` is not an int.

        Example:

        >>> import pathlib, tempfile
        >>> from keras_combiner.datasets import read_documents
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "numbers.csv"
        >>> _ = path.write_text("text,label\\n" + "\\n".join(f"{i},few" for i in range(100)))
        >>> train, validation = read_documents(path).split(0.1)
        >>> len(list(train)), len(list(validation))
        (90, 10)
        """
        if not isinstance(validation_fraction, numbers.Real) or not 0 < validation_fraction < 1:
            raise ValueError(
                "validation_fraction must be a number between 0 and 1, exclusive. Received: "
                f"{validation_fraction!r}. To hold nothing out, use the reader itself."
            )
        if not isinstance(seed, numbers.Integral):
            raise ValueError(f"seed must be an int. Received: {seed!r}.")
        return (
            _Part(self, validation_fraction, seed, validation=False),
            _Part(self, validation_fraction, seed, validation=True),
        )

    def take(self, count: int) -> "DocumentReader":
        """Returns a reader of the first documents only, without reading them yet.

        Args:
            count: int. How many documents to read at most.

        Returns:
            A reader, which streams as this one does.
        """
        return _First(self, count)

    def dataset(self):
        """Returns the documents as a `tf.data.Dataset`, to be shuffled, mapped and batched.

        Returns:
            A `tf.data.Dataset` of pairs of scalar strings, text and label; the label is the empty
            string where a document has none, and JSON where it is not a string. If documents have
            weights, of triples: a float32, the weight, comes third. It streams, and its
            cardinality is unknown. What is wrong in a file arrives as a
            `tf.errors.InvalidArgumentError` that holds the reader's own message.

        Example:

        >>> import pathlib, tempfile
        >>> from keras_combiner.datasets import read_documents
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.csv"
        >>> _ = path.write_text("text,label\\nA fine book.,good\\n")
        >>> for text, label in read_documents(path).dataset():
        ...     print(text.numpy(), label.numpy())
        b'A fine book.' b'good'
        """
        # Imported here so that reading documents does not wait for TensorFlow to load.
        import tensorflow as tf

        has_weights = self.has_weights

        def encoded():
            for document in self:
                text, label = document
                if label is not None and not isinstance(label, str):
                    label = json.dumps(label)
                weight = (document.weight,) if has_weights else ()
                yield text.encode(), (label or "").encode(), *weight

        scalar_string = tf.TensorSpec(shape=(), dtype=tf.string)
        signature = (scalar_string, scalar_string)
        if has_weights:
            signature += (tf.TensorSpec(shape=(), dtype=tf.float32),)
        return generator_dataset(encoded, signature)


class _Column:
    """One field of every document of a reader."""

    def __init__(self, reader: DocumentReader, field: str):
        self._reader = reader
        self._field = field

    def __iter__(self):
        for document in self._reader:
            yield getattr(document, self._field)

    @property
    def keeps_alike_labels(self):
        return self._reader.keeps_alike_labels

    def places(self):
        return self._reader.places()


class _Some(DocumentReader):
    """Some of the documents of a reader, unchanged."""

    def __init__(self, reader: DocumentReader):
        self._reader = reader

    @property
    def has_weights(self):
        return self._reader.has_weights

    @property
    def keeps_alike_labels(self):
        return self._reader.keeps_alike_labels

    @abc.abstractmethod
    def _picked(self, rows: Iterable) -> Iterator:
        """Yields those of the reader's documents, or of what stands for them, that are in here."""

    def __iter__(self):
        return self._picked(self._reader)

    def places(self):
        return self._picked(self._reader.places())

    def located(self):
        return self._picked(self._reader.located())


class _First(_Some):
    """The first documents of a reader."""

    def __init__(self, reader: DocumentReader, count: int):
        super().__init__(reader)
        self._count = count

    def _picked(self, rows):
        return itertools.islice(rows, self._count)

    def __repr__(self):
        return f"<first {self._count} documents of {self._reader!r}>"


class _Part(_Some):
    """The validation documents of a reader, or all the others."""

    def __init__(self, reader: DocumentReader, fraction: float, seed: int, validation: bool):
        super().__init__(reader)
        self._fraction = fraction
        self._seed = seed
        self._validation = validation

    def _picked(self, rows):
        for index, row in enumerate(rows):
            if _is_held_out(index, self._fraction, self._seed) == self._validation:
                yield row

    def __repr__(self):
        part = "validation" if self._validation else "training"
        return (
            f"<{part} part of {self._reader!r}, "
            f"validation_fraction={self._fraction}, seed={self._seed}>"
        )


def _is_held_out(index: int, fraction: float, seed: int) -> bool:
    """Tells whether the document at `index` is the one that its run sets aside for validation.

    Run number r covers the indices from ceil(r / fraction) up to ceil((r + 1) / fraction); the
    arithmetic is exact, so that 0.1 means runs of ten however far the file goes.
    """
    share = Fraction(fraction).limit_denominator(10**6) or Fraction(1, 10**6)
    run = math.floor(index * share)
    start = math.ceil(run / share)
    length = math.ceil((run + 1) / share) - start
    digest = hashlib.blake2b(f"{seed}/{run}".encode(), digest_size=8).digest()
    return index == start + int.from_bytes(digest, "big") % length
