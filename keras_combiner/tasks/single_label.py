"""SingleLabel: every document belongs to one class."""

import dataclasses

import keras
import numpy as np
from keras import ops

from keras_combiner.datasets.label_names import label_name
from keras_combiner.datasets.label_places import LabelPlaces
from keras_combiner.tasks.reliability import Reliability
from keras_combiner.tasks.task import (
    Task,
    log,
    per_label,
    per_label_table,
    total_weight,
    total_weight_line,
)
from keras_combiner.tasks.thresholds import checked_threshold, least_for_precision

_MOST_SHOWN = 3


class SingleLabel(Task):
    """One class of several: softmax over the classes.

    Args:
        temperature: float, what the logits were divided by since training.
        threshold: float between 0 and 1: the label is None unless its probability is above. None
            for a label whatever its probability.

    Raises:
        ValueError: for a threshold out of range.

    Example:

    >>> task, names = SingleLabel().learned(["tale", "weather", "tale"])
    >>> names, int(task.target("weather", names))
    (['tale', 'weather'], 1)
    """

    name = "single_label"
    activation = "softmax"
    loss = "sparse_categorical_crossentropy"
    target_dtype = "int32"

    def __init__(self, temperature=1.0, threshold=None):
        self.temperature = float(temperature)
        self.threshold = None if threshold is None else checked_threshold(threshold)

    def check_names(self, names):
        """At least two, all different."""
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(
                f"`labels` must be at least two different names, one a class. Received: {names!r}."
            )

    def units(self, names):
        """One a class."""
        return len(names)

    def targets(self, names):
        """To the class's place among the names, int32."""
        places = LabelPlaces(names)
        return lambda label: np.int32(places[self._one(label)])

    def target_shape(self, names):
        """A number."""
        return []

    def metrics(self):
        """Accuracy."""
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def linear(self, outputs):
        """Log probabilities, from their mean: a number added to all of them changes nothing."""
        logs = log(outputs)
        mean = np.mean if isinstance(logs, np.ndarray) else ops.mean
        return logs - mean(logs, axis=-1, keepdims=True)

    def logit_weights(self, classes, units):
        """The class's own, from the mean of all."""
        return ops.one_hot(classes, units, dtype="float32") - 1.0 / units

    def activated(self, logits):
        """Softmax."""
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        return shares / shares.sum(-1, keepdims=True)

    def one_hot(self, targets, names):
        """1 for the right class."""
        return np.eye(len(names))[targets]

    def uncalibrated(self):
        """A label for every document."""
        return SingleLabel()

    def thresholds_of(self, names):
        """The same for every class."""
        return None if self.threshold is None else [self.threshold] * len(names)

    def with_threshold(self, threshold, names):
        """The label is None unless its probability is above `threshold`, a number."""
        if threshold is None:
            return self
        if isinstance(threshold, dict):
            raise ValueError(
                "Documents have one label here, and one threshold: a number that the largest "
                f"probability must exceed. Received: {threshold!r}, which is for several labels."
            )
        return SingleLabel(self.temperature, threshold)

    def calibrated(self, temperature, probabilities, targets, names, precision=None):
        """With `precision`, a threshold above which that share of labels is right."""
        task = SingleLabel(temperature)
        if precision is None:
            return task, []
        right = probabilities.argmax(-1) == targets
        found = least_for_precision(probabilities.max(-1), right, precision)
        if found is None:
            said = "no" if right.all() else "every"
            return task, [f"no threshold: {said} document is given a wrong label"]
        threshold, reached = found
        notes = []
        if reached < precision:
            notes = [f"no threshold reaches {precision:.3f}: the best one, {reached:.3f}, is taken"]
        return SingleLabel(temperature, threshold), notes

    def result(self, outputs, names):
        """The "label" or None, and "probabilities" of all, the most probable first."""
        order = np.argsort(-outputs, kind="stable")
        return {
            "label": names[order[0]] if self._is_given(outputs) else None,
            "probabilities": {names[i]: float(outputs[i]) for i in order},
        }

    def sentence(self, result):
        """The label, and the most probable ones."""
        best = list(result["probabilities"].items())[:_MOST_SHOWN]
        shown = ", ".join(f"{label} {probability:.3f}" for label, probability in best)
        return f"{'no label' if result['label'] is None else result['label']} ({shown})"

    def signature(self, outputs, names):
        """`probabilities` and `label`, which is empty where there is none."""
        import tensorflow as tf

        label = tf.gather(tf.constant(names), tf.argmax(outputs, axis=-1))
        if self.threshold is not None:
            label = tf.where(tf.reduce_max(outputs, axis=-1) > self.threshold, label, "")
        return {"probabilities": outputs, "label": label}

    def named(self, outputs):
        """The most probable class."""
        return outputs.argmax(-1)

    def right(self, targets, outputs):
        """1 where the most probable class is the right one."""
        return (outputs.argmax(-1) == targets).astype("float64")

    def measure(self, targets, outputs, names, weights=None):
        """Accuracy, loss, what always naming the most frequent class reaches, and each class.

        Example:

        >>> task = SingleLabel()
        >>> figures = task.measure(np.array([0, 1, 1]), np.array([[0.9, 0.1]] * 3), ["bad", "good"])
        >>> round(figures["accuracy"], 3), figures["majority_class"]
        (0.333, 'good')
        >>> figures["classes"]["good"]
        {'documents': 2, 'precision': None, 'recall': 0.0}
        """
        one_hot = np.eye(len(names), dtype=bool)
        right, is_given = self.right(targets, outputs), self._is_given(outputs)
        reliability = Reliability.of(outputs.max(-1), right, weights=weights)
        squares = (outputs.astype("float64") - one_hot[targets]) ** 2
        shares = np.average(one_hot[targets], axis=0, weights=weights)
        truth = outputs[np.arange(len(targets)), targets]
        return {
            "documents": len(targets),
            **total_weight(weights),
            "accuracy": float(np.average(right, weights=weights)),
            **self._answered(right, is_given, weights),
            "loss": float(np.average(-log(truth), weights=weights)),
            "ece": reliability.error,
            "brier": float(np.average(squares.sum(-1), weights=weights)),
            "majority_class": names[shares.argmax()],
            "majority_accuracy": float(shares.max()),
            "classes": per_label(
                one_hot[targets], one_hot[outputs.argmax(-1)], names, weights=weights
            ),
            "reliability": dataclasses.asdict(reliability),
        }

    def table(self, figures):
        """Figures of all documents, and a row for each class."""
        return "\n".join(
            [
                f"documents          {figures['documents']:,}",
                *total_weight_line(figures, 19),
                f"accuracy           {figures['accuracy']:.4f}",
                f"majority baseline  {figures['majority_accuracy']:.4f} "
                f"({figures['majority_class']})",
                f"loss               {figures['loss']:.4f}",
                f"calibration error  {figures['ece']:.4f}",
                *_answered_table(figures),
                "",
                *per_label_table("class", figures["classes"]),
            ]
        )

    def get_config(self):
        """The name, and what calibration found."""
        config = {"name": self.name}
        if self.temperature != 1:
            config["temperature"] = self.temperature
        if self.threshold is not None:
            config["threshold"] = self.threshold
        return config

    def _is_given(self, outputs):
        return outputs.max(-1) > (-1.0 if self.threshold is None else self.threshold)

    def _answered(self, right, is_given, weights):
        """The figures of a threshold; none without it."""
        if self.threshold is None:
            return {}
        given = is_given if weights is None else weights * is_given
        return {
            "threshold": self.threshold,
            "coverage": float(np.average(is_given, weights=weights)),
            "answered_accuracy": float(np.average(right, weights=given)) if given.any() else None,
        }

    def _names(self, label):
        return [label_name(self._one(label))]

    def _one(self, label):
        """The label, out of a row of a column too."""
        if isinstance(label, np.ndarray) and label.ndim == 1:
            if len(label) == 1:
                return label[0]
            raise ValueError(
                f"Expected one label (task={self.name!r}). Received a row of {len(label)}. For "
                "classes that are one-hot, pass their names, or rows.argmax(-1)."
            )
        if isinstance(label, (list, tuple, set, frozenset, dict, np.ndarray)):
            raise self._kind_error(label, "one label")
        return label


def _answered_table(figures):
    if "threshold" not in figures:
        return []
    accuracy = figures["answered_accuracy"]
    return [
        f"given a label      {figures['coverage']:.4f} (above {figures['threshold']:.4g})",
        f"accuracy of these  {'-' if accuracy is None else f'{accuracy:.4f}'}",
    ]
