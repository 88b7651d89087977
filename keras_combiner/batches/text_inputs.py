"""Texts, labels and weights out of any container that users have: as lists, by position."""

import collections.abc
import itertools
import re

import numpy as np

from keras_combiner.datasets.float32 import weight_of
from keras_combiner.shortened_repr import shortened_repr
from keras_combiner.text.tokenizer import as_bytes

_EXPECTED = (
    "Expected a list of {what}; a tuple, an array, a pandas or Arrow column or a tensor of one "
    "dimension will do."
)
# Of Arrow; of numpy and pandas; of Polars and ragged tensors.
_LISTING = ("to_pylist", "tolist", "to_list")
# Names of types of floats that are narrower than Python's: of Arrow, whose float64 is a double, of
# numpy, of pandas and Polars.
_NARROW = re.compile(r"\b(?:float|halffloat|[Ff]loat(?:16|32))\b")


def as_list(values, what):
    """Returns values as a list, in the order in which they stand.

    Indices of pandas objects do not matter. Missing values stay what they are in the container.

    Args:
        values: list, tuple, other sequence or view of a dict; numpy array; pandas Series, Index or
            array; Arrow Array or ChunkedArray; tensor. Of arrays of several dimensions, every row
            is an element.
        what: str, what they are, for messages: "texts", for example.

    Returns:
        list, always a new one.

    Raises:
        ValueError: for a single string, a dict, a set, a table or what can be read only once.

    Example:

    >>> as_list({"a": "rain", "b": "wind"}.values(), "texts"), as_list(np.arange(3), "labels")
    (['rain', 'wind'], [0, 1, 2])
    """
    _refuse_others(values, what)
    if isinstance(values, (list, tuple)):
        return list(values)
    if isinstance(values, np.ma.MaskedArray) and values.ndim == 1:
        is_masked = np.ma.getmaskarray(values)
        return [None if masked else x for x, masked in zip(values.data, is_masked, strict=True)]
    if getattr(values, "ndim", 1) == 0:
        raise ValueError(
            f"{_EXPECTED.format(what=what)} Received a single one: {shortened_repr(values)}."
        )
    if _has(values, "numpy", "dtype"):  # TensorFlow, outside of graphs
        values = values.numpy()
    if isinstance(getattr(values, "dtype", None), np.dtype) and values.dtype.kind == "f":
        # As numpy scalars: a float32 in a Python float is another number.
        return list(np.asarray(values))
    if getattr(values, "ndim", 1) > 1 and hasattr(values, "__array__"):
        return list(np.asarray(values))  # of rows
    for method in _LISTING:
        if hasattr(values, method):
            return _as_held(getattr(values, method)(), _narrow_float(values))
    if isinstance(values, (collections.abc.Sequence, collections.abc.MappingView)):
        return list(values)
    raise ValueError(f"{_EXPECTED.format(what=what)} Received: {shortened_repr(values)}.")


def as_texts(texts, what="texts"):
    """Returns texts as a list of str or bytes.

    Args:
        texts: as in `as_list`, of one dimension.
        what: str, as in `as_list`.

    Returns:
        list of str or bytes.

    Raises:
        TypeError: for an element that is not text, a missing one for example; with its position.
        ValueError: as in `as_list`, and for an array of several dimensions.

    Example:

    >>> as_texts(np.array(["rain", "wind"]))
    ['rain', 'wind']
    """
    if getattr(texts, "ndim", 1) != 1 and not is_table(texts):
        shape = tuple(getattr(texts, "shape", ()))
        raise ValueError(
            f"{_EXPECTED.format(what=what)} Received: an array of shape {shape}. Reshape it to "
            "[number of texts]."
        )
    texts = as_list(texts, what)
    for i, text in enumerate(texts):
        if not isinstance(text, (str, bytes)):
            texts[i] = text.numpy() if _is_string_tensor(text) else as_bytes(text, i)  # raises
    return texts


def as_pairs(texts, labels):
    """Returns texts and labels, equally many of both.

    Args:
        texts: as in `as_texts`, or a reader.
        labels: as in `as_list`; None with a reader.

    Returns:
        pair of lists; or of the reader and None.

    Raises:
        TypeError: as in `as_texts`.
        ValueError: as in `as_list`, if the numbers differ, or for a reader with labels.
    """
    if is_reader(texts):
        if labels is not None:
            raise ValueError("A reader brings the labels of its documents: leave yours out.")
        return texts, None
    texts = as_texts(texts)
    if labels is not None:
        labels = as_list(labels, "labels")
    check_labels(texts, labels)
    return texts, labels


def corpus(texts, labels):
    """Returns what a classifier is to be built for, which need not fit into memory.

    Args:
        texts: as in `as_texts`, or a stream: an iterable that can be read more than once.
        labels: as in `as_list`, or a stream. Where there is no list of texts, they may be fewer:
            the names of the classes are then enough.

    Returns:
        pair, each a list or a stream.

    Raises:
        TypeError: as in `as_texts`.
        ValueError: as in `as_list`, and if texts and labels differ in number.
    """
    labels = labels if is_stream(labels) else as_list(labels, "labels")
    texts = stream_or_texts(texts)
    if isinstance(texts, list) and texts and isinstance(labels, list):
        check_labels(texts, labels)
    return texts, labels


def stream_or_texts(texts):
    """Returns a stream as it is, and other texts as a list of str or bytes.

    Args:
        texts: as in `as_texts`, or a stream: an iterable that can be read more than once.

    Returns:
        the stream, or a list of str or bytes.

    Raises:
        TypeError: as in `as_texts`.
        ValueError: as in `as_texts`, and for a reader.
    """
    if is_reader(texts):
        raise ValueError("Received a reader. Pass its texts and labels: reader.texts() is one.")
    return texts if is_stream(texts) else as_texts(texts)


def as_weights(weights, texts):
    """Returns the weights of documents.

    Args:
        weights: as in `as_list`, of numbers; also of shape `[documents, 1]`. Or None.
        texts: list of the documents; or a reader, which brings its own weights.

    Returns:
        float32 array `[documents]`; None without weights.

    Raises:
        ValueError: for weights beside a reader, another number of them than of documents, or one
            that is missing, negative or not finite.

    Example:

    >>> as_weights([1, 0.5], ["rain", "wind"]).tolist()
    [1.0, 0.5]
    """
    if weights is None:
        return None
    if is_reader(texts):
        raise ValueError(
            "A reader brings the weights of its documents: name their field with "
            "weight_field=... and leave yours out."
        )
    weights = as_list(weights, "weights")
    if len(weights) != len(texts):
        raise ValueError(
            f"Every text needs a weight. Received: {len(texts)} texts, {len(weights)} weights."
        )
    return np.array([as_weight(x, f"`sample_weight` {i}") for i, x in enumerate(weights)], "f4")


def as_weight(weight, place):
    """Returns a weight as a float.

    Args:
        weight: a number, or an array of one.
        place: str, where it stands, for messages.

    Raises:
        ValueError: unless it is finite and not negative.
    """
    value = weight_of(weight)
    if value is None:
        raise ValueError(f"{place} must be a finite number of at least 0. Received: {weight!r}.")
    return value


def is_reader(x):
    """Whether `x` is a reader of documents, as `keras_combiner.datasets` makes them."""
    return hasattr(x, "texts") and hasattr(x, "labels") and not is_table(x)


def is_stream(x):
    """Whether `x` can only be read from its start, but as often as needed."""
    is_known = isinstance(x, (str, bytes, collections.abc.Collection)) or is_table(x)
    is_known = is_known or any(hasattr(x, name) for name in _LISTING)
    is_known = is_known or hasattr(x, "dtype") or hasattr(x, "__next__")
    return hasattr(x, "__iter__") and not is_known


def is_table(x):
    """Whether `x` has several named columns: a DataFrame, or a table of Arrow's."""
    return getattr(x, "ndim", 2) == 2 and (hasattr(x, "columns") or hasattr(x, "column_names"))


def is_text(x):
    """Whether `x` is texts: strings in any container, or a re-iterable reader of documents."""
    if is_reader(x):
        return True
    _refuse_single(x, "texts")
    if is_table(x):
        # Keras takes tables of numbers.
        if all(getattr(t, "kind", "O") in "biufc" for t in getattr(x, "dtypes", [None])):
            return False
        _refuse_others(x, "texts")
    if isinstance(x, (dict, set, frozenset)):
        # Keras takes a dict of inputs by their names.
        if any(isinstance(y, (str, bytes)) for y in (x.values() if isinstance(x, dict) else x)):
            _refuse_others(x, "texts")
        return False
    if isinstance(getattr(x, "dtype", None), np.dtype) and x.dtype.kind != "O":
        return x.dtype.kind in "SUT"
    if _has(x, "numpy", "dtype"):
        return x.dtype == "string"
    if isinstance(x, np.ndarray):
        return True
    if is_stream(x) or not _is_container(x):
        return False
    values = as_list(x, "texts")
    # One string among them is enough: everything else is then an error in the texts.
    return not values or any(isinstance(y, (str, bytes)) or _is_string_tensor(y) for y in values)


def check_labels(texts, labels):
    """Refuses texts and labels that differ in number.

    Args:
        texts: list.
        labels: list; None if there are none.

    Raises:
        ValueError: unless there is a label for every text.
    """
    if labels is None or len(texts) != len(labels):
        received = "no labels" if labels is None else f"{len(labels)} labels"
        raise ValueError(f"Every text needs a label. Received: {len(texts)} texts, {received}.")


def each(function, labels):
    """Yields what a function returns for every label; its errors say where the label stands.

    Args:
        function: callable of a label.
        labels: iterable of labels; one with a method `places`, like those of a reader, says itself
            where they stand.

    Raises:
        ValueError: as `function`, with the place before it.

    Example:

    >>> list(each(float, ["1", "x"]))
    Traceback (most recent call last):
    ...
    ValueError: label 1: could not convert string to float: 'x'
    """
    for i, label in enumerate(labels):
        try:
            yield function(label)
        except ValueError as error:
            raise ValueError(f"{place_of(labels, i, 'label')}: {error}") from None


def place_of(documents, i, what):
    """Returns where a document stands, for an error.

    Args:
        documents: a reader, its labels, or anything else.
        i: int, the place of the document, from 0.
        what: str, what to call it where there are no files.

    Returns:
        str.
    """
    if not hasattr(documents, "places"):
        return f"{what} {i}"
    # Where a reader is needed once, to explain an error, it may read all over again.
    return next(itertools.islice(documents.places(), i, None), f"{what} {i}")


def _narrow_float(values):
    """The numpy type of the floats in a column of pandas or Arrow; None if it is Python's."""
    dtype = getattr(values, "dtype", getattr(values, "type", None))
    categories = getattr(dtype, "categories", None)
    found = _NARROW.search(str(dtype if categories is None else categories.dtype))
    if found is None:
        return None
    return np.float16 if found[0] in ("halffloat", "float16", "Float16") else np.float32


def _as_held(values, dtype):
    """Makes floats of a list, and of lists in it, scalars of the type that they had before."""
    if dtype is None:
        return values
    if isinstance(values, list):
        return [_as_held(x, dtype) for x in values]
    return dtype(values) if isinstance(values, float) else values


def _refuse_single(x, what):
    if isinstance(x, (str, bytes, bytearray)):
        raise ValueError(
            f"Expected a list of {what}. Received a single one: {x[:40]!r}. Wrap it in a list."
        )


def _refuse_others(x, what):
    """Raises a ValueError for what has no order, or is more than one column."""
    _refuse_single(x, what)
    if is_reader(x):
        raise ValueError(f"{_EXPECTED.format(what=what)} Received: a reader of documents.")
    if is_table(x):
        names = list(x.columns if not hasattr(x, "column_names") else x.column_names)
        raise ValueError(
            f"{_EXPECTED.format(what=what)} Received: a table with the columns "
            f"{shortened_repr(names)}. Pick one of them: table[{names[0] if names else '...'!r}]."
        )
    if isinstance(x, collections.abc.Mapping):
        raise ValueError(
            f"{_EXPECTED.format(what=what)} Received: a dict. Pass list(x.values()), or its keys."
        )
    if isinstance(x, collections.abc.Set) and not isinstance(x, collections.abc.MappingView):
        raise ValueError(f"{_EXPECTED.format(what=what)} Received: a set, which has no order.")
    if hasattr(x, "__next__") or is_stream(x):
        raise ValueError(
            f"{_EXPECTED.format(what=what)} Received: a {type(x).__name__}, which can only be read "
            "from its start. Pass list(x)."
        )


def _is_container(x):
    kinds = (collections.abc.Sequence, collections.abc.MappingView)
    return isinstance(x, kinds) or any(hasattr(x, y) for y in _LISTING)


def _is_string_tensor(x):
    return _has(x, "numpy", "dtype", "shape") and x.dtype == "string"


def _has(x, *names):
    return all(hasattr(x, name) for name in names)
