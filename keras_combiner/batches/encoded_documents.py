"""EncodedDocuments: documents as token ids, surveyed once and read as often as needed."""

import array
import hashlib
import itertools
import zlib

import numpy as np

from keras_combiner.batches.text_inputs import each, place_of
from keras_combiner.text.tokenizer import as_bytes
from keras_combiner.text.unknown_tokens import (
    UNKNOWN_TO_REFUSE,
    check_unknown_tokens,
    unknown_share,
)

_FRAME = 2  # start and end token
# What an example is made of, in the order in which it holds them.
_PARTS = ("texts", "labels", "weights")


class EncodedDocuments:
    """Texts as examples: rows of token ids, each with its target and perhaps its weight.

    Making one goes through all of the texts, to learn how many examples there are and how long they
    are, and to find what is wrong with them before training starts. The ids of a list are kept;
    those of a reader are computed again whenever they are asked for.

    Args:
        documents: `Documents`; every window of a document has its label and its weight.
        encoder: `DocumentEncoder`, which makes examples of a text.
        target: callable, label to a numpy number or array; None for examples without targets.
        class_weights: dict of class id to float: what the weights are multiplied with, where the
            targets are class ids.

    Attributes:
        weights: float32 array `[documents]`, times those of the classes; None if there are none.
        lengths: int32 array `[examples]`, ids of each.
        windows: int32 array `[documents]`, examples of each.
        tokens: int32 array `[documents]`, ids of each that are read.
        is_long: bool array `[documents]`, whether there were more than `sequence_length`.
        checksums: uint32 array `[examples, parts]`, of each one's token ids and, if there are any,
            target and weight.
        unknown: int32 array `[documents]`, how many ids in all examples of each stand for words
            that the tokenizer does not know.

    Raises:
        ValueError: if there are no labels for the targets, `target` refuses a label, every
            document weighs 0, or a reader finds something wrong in a file.
    """

    def __init__(self, documents, encoder, target=None, class_weights=None):
        self.sequence_length = encoder.sequence_length
        self.is_stream = documents.is_stream
        if target is not None:
            documents.check_labelled()
        self._source = documents
        self._encoder = encoder
        self._target = target
        self._targets = self._kept = None
        self._class_weights = class_weights
        self._reads_weights = target is not None and documents.is_stream and documents.has_weights
        self.weights = documents.weights
        if target is not None and not self.is_stream:
            # A label that is wrong shows before the texts are read.
            self._targets = list(each(target, documents.labels))
            if self.weights is not None and class_weights is not None:
                factors = [class_weights[int(x)] for x in self._targets]
                self.weights = (self.weights * factors).astype("float32")
        # Arrays, and not lists of ints: of a reader's documents, this is all that is held.
        lengths, windows, tokens = (array.array("i") for _ in range(3))
        checksums, read_weights = array.array("I"), array.array("f")
        is_long, kept, unknown = bytearray(), [], array.array("i")
        for examples, num_tokens in self._documents():
            if self._reads_weights:
                read_weights.append(examples[0][-1])
            windows.append(len(examples))
            lengths.extend(len(token_ids) for token_ids, *_ in examples)
            for example in examples:
                checksums.extend(_checksums(example))
            is_long.append(num_tokens > self.sequence_length)
            tokens.append(encoder.tokens_read(num_tokens))
            unknown.append(encoder.count_unknown(token_ids for token_ids, *_ in examples))
            if not self.is_stream:
                kept.extend(examples)
        if not self.is_stream:
            self._kept = kept
        self.lengths, self.windows, self.tokens = (
            np.array(x, "int32") for x in (lengths, windows, tokens)
        )
        self.is_long = np.array(is_long, bool)
        self.unknown = np.array(unknown, "int32")
        if self._reads_weights:
            self.weights = np.array(read_weights, "float32")
        if self.weights is not None and len(self.weights) and not self.weights.any():
            raise ValueError(
                "Every document weighs 0, itself or by its class: nothing would be learned or "
                "measured. Leave the weights out, or give the documents that count more than 0."
            )
        num_parts = len(checksums) // max(1, len(lengths))
        self.checksums = np.array(checksums, "uint32").reshape(len(lengths), num_parts)

    def fingerprint(self):
        """Returns what identifies these documents in their order.

        Returns:
            dict that JSON can hold: the number of documents, and a digest each of their texts,
            labels and weights.
        """
        digests = {
            name: {"digest": hashlib.blake2b(column.tobytes(), digest_size=8).hexdigest()}
            for name, column in zip(_PARTS, self.checksums.T, strict=False)
        }
        return {"number": len(self.windows), **digests}

    def examples(self, first=0):
        """Yields the examples in order.

        Args:
            first: int, the example to start with. Those before it are skipped: of a reader, their
                documents are read, but not made into ids.

        Returns:
            iterator of tuples: int32 array of token ids; what `target` returned for the label, if
            there are targets; and a float32, if there are weights.

        Raises:
            ValueError: while a reader is read, if a document is not what it was at first.
        """
        if self._kept is not None:
            return itertools.islice(self._kept, first, None)
        ends = np.cumsum(self.windows, dtype="int64")
        document = int(np.searchsorted(ends, first, side="right"))
        before = int(ends[document - 1]) if document else 0
        rows = (row for examples, _ in self._documents(document) for row in examples)
        return self._checked(itertools.islice(rows, first - before, None), first)

    def _checked(self, examples, first):
        """Yields examples of a reader, of which the first has the place `first`, as they were."""
        for place, example in enumerate(examples, first):
            if place < len(self.checksums):
                before = self.checksums[place].tolist()
                changed = [
                    name
                    for name, x, y in zip(_PARTS, before, _checksums(example), strict=False)
                    if x != y
                ]
                if changed:
                    named = self.places(np.array([place])) or [f"document {place}"]
                    raise ValueError(
                        f"{named[0]} has changed since the documents were first read (its "
                        f"{changed[0].removesuffix('s')}). Leave the files as they are while they "
                        "are read."
                    )
            yield example

    def places(self, examples):
        """Returns where examples come from.

        Args:
            examples: int array, their places.

        Returns:
            list of str, one a document, in their order: file and line where they are known, or the
            document's place in the list, from 0.
        """
        ends = np.cumsum(self.windows, dtype="int64")
        wanted = sorted(set(np.searchsorted(ends, examples, side="right").tolist()))
        if not hasattr(self._source.texts, "places"):
            return [f"document {i}" for i in wanted]
        # Where a reader is needed once, to explain an error, it may read all over again.
        named = itertools.islice(self._source.texts.places(), wanted[-1] + 1)
        chosen = set(wanted)
        return [place for i, place in enumerate(named) if i in chosen]

    @property
    def unknown_share(self):
        """float, the share of unknown tokens in all examples, without start and end tokens."""
        return unknown_share(self.unknown, self._sizes())

    def check_unknown(self, training=False, each=False):
        """Warns of unknown tokens, or refuses to train.

        Args:
            training: bool, whether a model is to learn from the documents.
            each: as for `keras_combiner.text.unknown_tokens.check_unknown_tokens`.

        Raises:
            ValueError: as there.
        """
        if self._encoder.tokenizer.unknown_token_id is not None:
            most_unknown = UNKNOWN_TO_REFUSE if training else 1.0
            check_unknown_tokens(self.unknown, self._sizes(), most_unknown, each=each)

    def _sizes(self):
        """int array `[documents]`, ids in all examples of each without start and end tokens."""
        totals = np.concatenate([[0], np.cumsum(self.lengths - _FRAME, dtype="int64")])
        ends = np.cumsum(self.windows, dtype="int64")
        return totals[ends] - totals[ends - self.windows]

    def _documents(self, first=0):
        """Yields every document's examples, and how many ids it has, more than are read if cut."""
        rows = itertools.islice(self._rows(), first, None)
        for pieces, num_tokens, rest in self._encoder.encoded(rows):
            yield [(piece, *rest) for piece in pieces], num_tokens

    def _rows(self):
        """Yields the texts as bytes, each in a tuple with its target and weight, if there are."""
        rows = self._of_reader() if self.is_stream else self._of_lists()
        for i, (text, *rest) in enumerate(rows):
            yield as_bytes(text, i), *rest

    def _of_lists(self):
        columns = [x for x in (self._targets, self.weights) if x is not None]
        return zip(self._source.texts, *columns, strict=True)

    def _of_reader(self):
        for i, document in enumerate(self._source.texts):
            row = [document[0]]
            if self._target is not None:
                try:
                    row.append(self._target(document[1]))
                except ValueError as error:
                    place = place_of(self._source.texts, i, "document")
                    raise ValueError(f"{place}: {error}") from None
            if self._reads_weights:
                classes = self._class_weights
                factor = 1 if classes is None else classes[int(row[1])]
                row.append(np.float32(document.weight * factor))
            yield row


def _checksums(example):
    """A number for each part of an example, in 32 bits."""
    return [zlib.crc32(np.ascontiguousarray(part)) for part in example]
