"""Token ids that a model does not have: refused, with their position, before anything is computed.

A table of embeddings takes -1 for its last row, and fractions are truncated: in both cases the
model would answer for another text.
"""

import numbers

import keras
import numpy as np
import tensorflow as tf

_NAME = "token_ids"


def check(x, vocabulary_size):
    """Raises a ValueError for arrays with values that are not token ids of a model.

    Args:
        x: array of token ids, or what holds one, as `keras.Model.predict` takes it.
        vocabulary_size: int, the number of token ids.

    Raises:
        ValueError: for an id below 0 or not below `vocabulary_size`, or a number that is not whole.

    Example:

    >>> check(np.array([[1, 2], [3, -1]]), 100)
    Traceback (most recent call last):
    ValueError: Expected token ids from 0 to 99. Received: -1 at [1, 1].
    """
    for array in _arrays_of_ids(x):
        ids = keras.ops.convert_to_numpy(array)
        if ids.dtype.kind not in "biuf":
            continue
        wrong = (ids < 0) | (ids >= vocabulary_size)
        if ids.dtype.kind == "f":
            wrong |= ids != np.floor(ids)  # which NaN is not equal to either
        if wrong.any():
            place = np.argwhere(wrong)[0]
            raise ValueError(
                f"Expected token ids from 0 to {vocabulary_size - 1}. Received: "
                f"{ids[tuple(place)]} at {place.tolist()}."
            )


def checked_data_set(data, vocabulary_size):
    """Returns a data set that raises an error for values that are not token ids of a model.

    Args:
        data: `tf.data.Dataset` of token ids, with or without targets and weights.
        vocabulary_size: int, the number of token ids.

    Returns:
        `tf.data.Dataset` of the same elements, whose batches raise a
        `tf.errors.InvalidArgumentError` where `check` would raise a ValueError.
    """

    def checked(*batch):
        checks = [_assertion(x, vocabulary_size) for x in _arrays_of_ids(batch[0])]
        with tf.control_dependencies(checks):
            inputs = tf.nest.map_structure(tf.identity, batch[0])
        return (inputs, *batch[1:]) if len(batch) > 1 else inputs

    return data.map(checked)


def _assertion(ids, vocabulary_size):
    if ids.dtype.is_integer:
        ids = tf.cast(ids, tf.int64)  # 8 bits do not hold the size of a vocabulary
    wrong = (ids < 0) | (ids >= vocabulary_size)
    if ids.dtype.is_floating:
        wrong |= ids != tf.floor(ids)
    places = tf.where(wrong)[:1]
    expected = f"Expected token ids from 0 to {vocabulary_size - 1}. Received, with its place:"
    received = [expected, tf.gather_nd(ids, places), places]
    return tf.debugging.Assert(~tf.reduce_any(wrong), received)


def _arrays_of_ids(x):
    """The arrays of token ids among the inputs of a model, a list."""
    if isinstance(x, dict):
        x = x.get(_NAME)
    leaves = keras.tree.flatten(x)
    if leaves and all(isinstance(y, numbers.Real) for y in leaves):
        return [np.asarray(x)]
    return [y for y in leaves if hasattr(y, "dtype")]
