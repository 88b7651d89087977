"""Pairs and triplets of texts that an embedder is trained on, in rows."""

from collections.abc import Sequence

from keras_combiner.batches.documents import Documents
from keras_combiner.batches.text_inputs import as_list, as_pairs, as_texts, is_reader

# Of numbers that tell texts apart: float32, in which losses take them, holds all below.
_MOST_TEXTS = 2**24


def documents_of_rows(anchors, others):
    """Makes rows of texts: anchor, positive, and perhaps negatives.

    Args:
        anchors: texts in any container that `keras_combiner.batches.text_inputs.as_texts` takes.
        others: one an anchor, in any container: its positive, a text; or a list or tuple of its
            positive and one or more negatives, as many for every anchor.

    Returns:
        `Documents` of the anchors, whose labels are tuples of the other texts.

    Raises:
        TypeError: for what is not text, with its position.
        ValueError: for a reader, if the numbers differ, or without `others`.

    Example:

    >>> documents_of_rows(["rain?"], [("It will rain.", "A king.")]).labels
    [('It will rain.', 'A king.')]
    """
    if is_reader(anchors) or is_reader(others):
        raise ValueError(
            "An embedder is trained on lists of texts: anchors, and for each of them its positive. "
            "Received: a reader. Pass list(reader.texts())."
        )
    if others is None:
        raise ValueError(
            "An embedder is trained on anchors and their positives: `fit(anchors, positives)`. "
            "Received: no positives."
        )
    anchors, others = as_pairs(anchors, as_list(others, "positives"))
    rows = [_row(x, i) for i, x in enumerate(others)]
    sizes = sorted({len(row) for row in rows})
    if len(sizes) > 1:
        place = next(i for i, row in enumerate(rows) if len(row) != len(rows[0]))
        raise ValueError(
            "Every anchor must have a positive and as many negatives as the others have. Received: "
            f"{len(rows[0])} texts for anchor 0 and {len(rows[place])} for anchor {place}."
        )
    return Documents(anchors, rows)


def texts_in_rows(documents):
    """Makes the texts of rows one list, in which the texts of a row follow one another.

    Args:
        documents: what `documents_of_rows` returned.

    Returns:
        pair: `Documents` of all texts, whose labels are numbers, the same for the same text; and
        int, texts a row.

    Raises:
        ValueError: for more than 2^24 different texts.

    Example:

    >>> texts, size = texts_in_rows(documents_of_rows(["rain?", "wet?"], ["yes", "yes"]))
    >>> texts.texts, texts.labels, size
    (['rain?', 'yes', 'wet?', 'yes'], [0, 1, 2, 1], 2)
    """
    rows = list(zip(documents.texts, documents.labels, strict=True))
    texts = [text for anchor, others in rows for text in (anchor, *others)]
    number_of = {}
    numbers = [number_of.setdefault(_as_str(text), len(number_of)) for text in texts]
    if len(number_of) > _MOST_TEXTS:
        raise ValueError(
            f"Expected at most {_MOST_TEXTS:,} different texts. Received: {len(number_of):,}. "
            "Train on parts of them, one after the other."
        )
    return Documents(texts, numbers), 1 + len(documents.labels[0]) if rows else 2


def _row(others, i):
    """The texts that belong to an anchor as a tuple; raises for what is not text."""
    if isinstance(others, (str, bytes)):
        return (others,)
    is_sequence = isinstance(others, Sequence) or getattr(others, "ndim", 0) == 1
    texts = tuple(as_texts(others, f"texts for anchor {i}")) if is_sequence else ()
    if not texts:
        raise TypeError(
            f"Expected for anchor {i} its positive, a text, or a list of its positive and "
            f"negatives. Received: {others!r}."
        )
    return texts


def _as_str(text):
    return text if isinstance(text, str) else text.decode("utf-8", "replace")
