"""DocumentEncoder: texts to token ids, and long ones to windows."""

import collections
import concurrent.futures
import os

import numpy as np

from keras_combiner.batches.windows import split_into_windows

LONG_TEXTS = ("truncate", "windows")
# Texts that a thread makes into ids at once. Tokenizers pad within them, so a long one goes alone.
_CHUNK = 16
_LONG_BYTES = 65536
_THREADS = min(8, os.cpu_count() or 1)


class DocumentEncoder:
    """Turns texts into the examples of a model: rows of at most `sequence_length` token ids.

    Args:
        tokenizer: `keras_combiner.text.Tokenizer`.
        sequence_length: int, the most ids of an example.
        long_texts: "truncate", or "windows" for several examples of a document that is longer.
        split: callable, the ids of a longer document and `sequence_length` to its windows: one of
            `keras_combiner.batches.windows`.

    Raises:
        ValueError: for an unknown `long_texts`.

    Example:

    >>> from keras_combiner.text import ByteTokenizer
    >>> encoder = DocumentEncoder(ByteTokenizer(), sequence_length=6, long_texts="windows")
    >>> [(len(pieces), count) for pieces, count, _ in encoder.encoded([(b"rain",), (b"thunder",)])]
    [(1, 6), (2, 9)]
    """

    def __init__(self, tokenizer, sequence_length, long_texts="truncate", split=split_into_windows):
        check_long_texts(long_texts)
        self.tokenizer = tokenizer
        self.sequence_length = sequence_length
        self.long_texts = long_texts
        self._split = split

    def encoded(self, rows):
        """Turns texts into ids, in threads, a few texts ahead.

        Args:
            rows: iterable of tuples: a text in bytes, and what else belongs to it.

        Returns:
            iterator of triples, one a text: list of int32 arrays, its examples; int, how many ids
            it has, more than are read if it is truncated; and list, the rest of its row.
        """
        waiting = collections.deque()
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as threads:
            for texts, rests in _chunks(rows):
                # Outside of any graph, and so in our own threads: a tf.data pipeline inside the one
                # that Keras reads from would wait for a thread that the outer one holds.
                waiting.append((threads.submit(self._ids, texts), rests))
                if len(waiting) > 2 * _THREADS:
                    yield from self._in_pieces(*waiting.popleft())
            while waiting:
                yield from self._in_pieces(*waiting.popleft())

    def tokens_read(self, num_tokens):
        """Returns how many of the ids of a document are read, int."""
        return num_tokens if self.long_texts == "windows" else min(num_tokens, self.sequence_length)

    def count_unknown(self, pieces):
        """Returns how many ids stand for words that the tokenizer does not know, int."""
        unknown = self.tokenizer.unknown_token_id
        if unknown is None:
            return 0
        return sum(np.count_nonzero(token_ids == unknown) for token_ids in pieces)

    def _ids(self, texts):
        # One id more than there may be shows which texts are too long. No number of bytes bounds
        # that of tokens: normalization makes four words of one character of three bytes.
        limit = None if self.long_texts == "windows" else self.sequence_length + 1
        ids = self.tokenizer.encode(texts, limit)
        return np.split(ids.values.numpy(), ids.row_splits.numpy()[1:-1])

    def _in_pieces(self, ids, rests):
        for token_ids, rest in zip(ids.result(), rests, strict=True):
            if len(token_ids) <= self.sequence_length:
                pieces = [token_ids]
            elif self.long_texts == "windows":
                pieces = self._split(token_ids, self.sequence_length)
            else:
                # As the tokenizer cuts: the end token stays.
                pieces = [np.append(token_ids[: self.sequence_length - 1], token_ids[-1])]
            yield pieces, len(token_ids), rest


def check_long_texts(long_texts):
    """Raises a ValueError unless `long_texts` is a way to read texts that are too long."""
    if long_texts not in LONG_TEXTS:
        raise ValueError(
            f"`long_texts` must be one of {', '.join(map(repr, LONG_TEXTS))}. "
            f"Received: {long_texts!r}."
        )


def with_long_texts(config):
    """Translates the configuration of a model that an earlier version saved.

    Args:
        config: dict. Earlier versions have `long`, "cut" or "windows", in place of `long_texts`.

    Returns:
        dict, which has `long_texts` if `config` has either of them.

    Example:

    >>> with_long_texts({"labels": ["good", "bad"], "long": "cut"})
    {'labels': ['good', 'bad'], 'long_texts': 'truncate'}
    """
    if "long" not in config:
        return config
    config = dict(config)
    long = config.pop("long")
    return {**config, "long_texts": "truncate" if long == "cut" else long}


def _chunks(rows):
    """Yields lists of texts that are turned into ids together, and the rest of their rows."""
    texts, rests = [], []
    for text, *rest in rows:
        if len(text) > _LONG_BYTES:
            if texts:
                yield texts, rests
                texts, rests = [], []
            yield [text], [rest]
            continue
        texts.append(text)
        rests.append(rest)
        if len(texts) == _CHUNK:
            yield texts, rests
            texts, rests = [], []
    if texts:
        yield texts, rests
