"""Combining marks in Unicode's canonical order, inside the TensorFlow graph."""

import functools
import unicodedata

import numpy as np
import tensorflow as tf

# Where characters with a combining class end.
_END_OF_MARKS = 0x1F000


def in_canonical_order(texts):
    """Sorts the combining marks that follow a character, as normalization does as its first step.

    tensorflow-text's normalization sorts them as well, but one by one, in time that grows with the
    square of their number. Of marks in order, it has none to move.

    Args:
        texts: tf.string tensor `[batch]` of valid UTF-8.

    Returns:
        tf.string tensor `[batch]`, whose NFC is that of the texts.

    Example:

    >>> ascii(in_canonical_order(tf.constant(["e\\u0301\\u0316"])).numpy()[0].decode())
    "'e\\\\u0316\\\\u0301'"
    """
    characters = tf.strings.unicode_decode(texts, "UTF-8")
    table = _classes()
    classes = tf.gather(table, tf.minimum(characters.values, len(table) - 1))
    classes = tf.cast(classes, tf.int64)
    text = characters.value_rowids()

    def sort():
        begins = tf.concat([text[:1] >= 0, text[1:] != text[:-1]], axis=0) | (classes == 0)
        run = tf.cumsum(tf.cast(begins, tf.int64))
        order = tf.argsort(run * 256 + classes, stable=True)
        in_order = characters.with_values(tf.gather(characters.values, order))
        return tf.strings.unicode_encode(in_order, "UTF-8")

    # Which few texts need.
    is_disorder = (classes[1:] > 0) & (classes[:-1] > classes[1:])
    return tf.cond(tf.reduce_any(is_disorder), sort, lambda: texts)


@functools.cache
def _classes():
    """uint8 `[code points]`, the combining class of each; what comes after is as the last: 0."""
    return np.array([unicodedata.combining(chr(x)) for x in range(_END_OF_MARKS + 1)], "uint8")
