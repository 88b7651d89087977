"""Class weights: from what `fit` takes to a number a class."""

import math
import numbers

import numpy as np

from keras_combiner.datasets.float32 import weight_of
from keras_combiner.datasets.label_places import LabelPlaces


def class_weights(class_weight, names, targets, several=False, has_class_ids=False):
    """Returns the weight of every class.

    Args:
        class_weight: dict of label to weight, 1 for those that are left out; "balanced"; or None.
        names: list of str, the labels.
        targets: callable without arguments, for "balanced": an iterable of batches of targets,
            int arrays `[batch]` or `[batch, 1]` of class ids, or arrays `[batch, classes]` with 1
            for those that a document has.
        several: bool, whether a document may have several labels. "balanced" then lets the
            documents that have a label weigh as much, for that label, as those that do not.
        has_class_ids: bool, whether numbers in the keys of a dict are places among the names, as
            Keras has it. Otherwise all keys are labels.

    Returns:
        float32 array `[classes]`; None if all classes weigh the same.

    Raises:
        ValueError: for an unknown or repeated label, or a weight that is negative or not finite.

    Example:

    >>> class_weights({3: 2.0}, ["10", "3"], targets=None).tolist()
    [1.0, 2.0]
    >>> class_weights("balanced", ["a", "b"], lambda: [np.array([0, 0, 1, 0, 0])]).tolist()
    [0.625, 2.5]
    """
    if class_weight is None or (isinstance(class_weight, dict) and not class_weight):
        return None
    if isinstance(class_weight, str) and class_weight == "balanced":
        return _balanced(len(names), targets(), several)
    if not isinstance(class_weight, dict):
        raise ValueError(
            "`class_weight` must be 'balanced' or a dict of label to weight. Received: "
            f"{class_weight!r}."
        )
    places, weights, keys = LabelPlaces(names), np.ones(len(names), "float32"), {}
    for key, weight in class_weight.items():
        is_id = has_class_ids and _is_number(key)
        place = _class_id(key, names) if is_id else _place(key, places)
        if place in keys:
            raise ValueError(
                f"`class_weight` has two keys for the label {names[place]!r}: {keys[place]!r} and "
                f"{key!r}."
            )
        value = weight_of(weight)
        if value is None:
            raise ValueError(
                f"`class_weight` of {key!r} must be a finite number of at least 0. Received: "
                f"{weight!r}."
            )
        weights[place], keys[place] = value, key
    return weights


def _place(key, places):
    try:
        return places[key]
    except ValueError as error:
        raise ValueError(f"`class_weight`: {error} Its keys are labels.") from None


def _class_id(key, names):
    if key != int(key) or not 0 <= key < len(names):
        raise ValueError(
            f"`class_weight` has the key {key!r}. Beside token ids, numbers are class ids, from 0 "
            f"to {len(names) - 1}; write a label as a string."
        )
    return int(key)


def _is_number(key):
    return isinstance(key, numbers.Real) and not isinstance(key, bool) and math.isfinite(key)


def _balanced(number, batches, several):
    counts, total = np.zeros(number), 0
    for batch in batches:
        batch = np.asarray(batch)
        total += len(batch)
        if (batch.ndim == 2 and batch.shape[1] > 1) or several:
            counts += (batch > 0.5).reshape(len(batch), number).sum(0)
        else:
            counts += np.bincount(batch.reshape(-1).astype(int), minlength=number)
    if several:
        # A label that all have, or none has, has nothing to be balanced with.
        is_mixed = (counts > 0) & (counts < total)
        return np.where(is_mixed, (total - counts) / np.maximum(1, counts), 1).astype("float32")
    share = total / max(1, np.count_nonzero(counts))
    return np.where(counts > 0, share / np.maximum(1, counts), 1).astype("float32")
