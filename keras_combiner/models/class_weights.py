"""Class weights: from what `fit` takes to a number a class, and to the loss."""

import dataclasses
import math
import numbers

import keras
import numpy as np

from keras_combiner.datasets.float32 import weight_of
from keras_combiner.datasets.label_places import LabelPlaces


@dataclasses.dataclass(frozen=True, eq=False)
class ClassWeights:
    """The weights of classes in a training.

    Attributes:
        values: float32 array `[classes]`; None if all weigh the same.
        by_label: bool, whether a document may have several labels, and the loss of each is weighed.
    """

    values: np.ndarray | None = None
    by_label: bool = False

    def by_class_id(self):
        """Returns what Keras takes, a dict; None if it weighs nothing, or labels are weighed."""
        if self.values is None or self.by_label:
            return None
        return dict(enumerate(self.values.tolist()))

    def options(self, with_documents):
        """Returns the arguments with which the batches of a training are made, a dict.

        Args:
            with_documents: bool, whether the weights of documents are multiplied with these.
        """
        facts = {"class_weight": None if self.values is None else self.values.tolist()}
        weights = self.by_class_id() if with_documents else None
        return {"facts": facts} if weights is None else {"facts": facts, "class_weights": weights}

    def by_label_or_none(self):
        """Returns the weight of every label for `weighed_labels`; None if it weighs nothing."""
        return self.values if self.by_label else None


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
        ValueError: for an unknown or repeated label, a weight that is negative or not finite, or
            weights that are all 0.

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
    if not weights.any():
        raise ValueError(
            "`class_weight` gives every label 0: nothing would be learned. Give the labels that "
            f"count more than 0. Received: {class_weight!r}."
        )
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


def weighed_labels(y, y_pred, sample_weight, weights):
    """Turns one loss for each document into one for each label, with its weight.

    Args:
        y: tensor `[batch, labels]`, 1 for the labels that a document has.
        y_pred: tensor `[batch, labels]`.
        sample_weight: tensor `[batch]`, or None.
        weights: float array `[labels]`, of the documents that have the label.

    Returns:
        triple of what `keras.Model.compute_loss` takes as `y`, `y_pred`, `[batch, labels, 1]`, and
        `sample_weight`, `[batch, labels]`.
    """
    by_label = 1 + keras.ops.cast(y, "float32") * (weights - 1)
    if sample_weight is not None:
        by_label *= keras.ops.reshape(keras.ops.cast(sample_weight, "float32"), (-1, 1))
    return keras.ops.expand_dims(y, -1), keras.ops.expand_dims(y_pred, -1), by_label


def check_loss_of_labels(loss, num_labels):
    """Raises a ValueError unless a loss is the mean of one for each label."""
    generator = np.random.default_rng(0)
    y = (np.arange(num_labels) == np.array([[0], [num_labels - 1]])).astype("float32")
    y_pred = generator.uniform(0.1, 0.9, y.shape).astype("float32")
    try:
        function = keras.losses.get(loss)
        function = getattr(function, "call", function)
        # As in `weighed_labels`, where weights come between.
        by_label = np.asarray(function(y[..., None], y_pred[..., None]))
        is_mean = by_label.shape == y.shape and np.allclose(
            by_label.mean(-1), np.asarray(function(y, y_pred)), rtol=1e-4
        )
    except Exception:  # whatever a loss raises that takes other shapes
        is_mean = False
    if not is_mean:
        raise ValueError(
            "`class_weight` of several labels weighs the loss of each label, and so needs a loss "
            "that is the mean of one for each, such as 'binary_crossentropy'. The model is "
            f"compiled with {loss!r}: compile it with another, or leave `class_weight` out."
        )
