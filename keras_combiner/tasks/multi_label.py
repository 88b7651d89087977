"""MultiLabel: a document has any number of labels."""

import dataclasses

import keras
import numpy as np

from keras_combiner.batches.text_inputs import as_list, is_stream
from keras_combiner.datasets.label_names import label_name
from keras_combiner.datasets.label_places import LabelPlaces
from keras_combiner.tasks.reliability import Reliability
from keras_combiner.tasks.task import (
    LEAST_PROBABILITY,
    Task,
    log,
    per_label,
    per_label_table,
    total_weight,
    total_weight_line,
)
from keras_combiner.tasks.thresholds import (
    NO_CHOICE,
    best_f1,
    checked_threshold,
    least_for_precision,
)

_MOST_SHOWN = 3


class MultiLabel(Task):
    """Any number of labels, none included: a sigmoid for each.

    A document has the labels whose probability is above their threshold.

    Args:
        temperature: float, what the logits were divided by since training.
        thresholds: list of float between 0 and 1, one a label; None for one half throughout.

    Raises:
        ValueError: for a threshold out of range.

    Example:

    >>> task, names = MultiLabel().learned([["red", "round"], [], ["red"]])
    >>> names, task.target(["red"], names).tolist()
    (['red', 'round'], [1.0, 0.0])
    """

    name = "multi_label"
    activation = "sigmoid"
    loss = "binary_crossentropy"

    def __init__(self, temperature=1.0, thresholds=None):
        self.temperature = float(temperature)
        self.thresholds = None if thresholds is None else [*map(checked_threshold, thresholds)]

    def learned(self, labels):
        """The names, of lists of labels; see `Task.learned`."""
        labels = labels if is_stream(labels) else self._listed(labels)
        if isinstance(labels, list):
            _refuse_indicators(labels)
        return super().learned(labels)

    def check_names(self, names):
        """At least one, all different, and as many as thresholds."""
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"`labels` must be different names, at least one. Received: {names!r}."
            )
        if self.thresholds is not None and len(self.thresholds) != len(names):
            raise ValueError(
                f"Expected a threshold for each of {len(names)} labels. Received: "
                f"{len(self.thresholds)} thresholds."
            )

    def units(self, names):
        """One a label."""
        return len(names)

    def targets(self, names):
        """To 1 for the labels that the document has, else 0."""
        places = LabelPlaces(names)

        def target(labels):
            target = np.zeros(len(names), "float32")
            target[[places[label] for label in self._several(labels)]] = 1.0
            return target

        return target

    def target_shape(self, names):
        """A number a label."""
        return [len(names)]

    def metrics(self):
        """Accuracy of the single yes or no, and F1 over all of them."""
        return [
            keras.metrics.BinaryAccuracy(name="accuracy", threshold=NO_CHOICE),
            keras.metrics.F1Score(average="micro", threshold=NO_CHOICE, name="f1"),
        ]

    def linear(self, outputs):
        """Log odds."""
        return log(outputs) - log(1 - outputs)

    def logit_weights(self, classes, units):
        """The class's own alone."""
        return keras.ops.one_hot(classes, units, dtype="float32")

    def activated(self, logits):
        """Sigmoid."""
        return np.exp(-np.logaddexp(0.0, -logits))

    def one_hot(self, targets, names):
        """As it is."""
        return targets.astype("float64")

    def uncalibrated(self):
        """A threshold of one half throughout."""
        return MultiLabel()

    def thresholds_of(self, names):
        """One a label."""
        return self.thresholds

    def with_threshold(self, threshold, names):
        """`threshold` is a number for all labels, or a dict of label to one; others keep theirs."""
        if threshold is None:
            return self
        if not isinstance(threshold, dict):
            return MultiLabel(self.temperature, [threshold] * len(names))
        thresholds = list(self.thresholds or [NO_CHOICE] * len(names))
        places = LabelPlaces(names)
        for label, value in threshold.items():
            thresholds[places[label]] = value
        return MultiLabel(self.temperature, thresholds)

    def calibrated(self, temperature, probabilities, targets, names, precision=None):
        """A threshold a label: of the largest F1, or the least that reaches `precision`."""
        thresholds, without, short = [], [], []
        for name, column, truth in zip(names, probabilities.T, targets.T > 0.5, strict=True):
            if precision is None:
                found = best_f1(column, truth)
            else:
                found = least_for_precision(column, truth, precision)
            if found is None:
                without.append(name)
            elif precision is not None and found[1] < precision:
                short.append(f"{name} ({found[1]:.3f})")
            thresholds.append(NO_CHOICE if found is None else found[0])
        notes = []
        if without:
            which = ", ".join(without)
            notes.append(f"threshold {NO_CHOICE} for labels of no document, or of all: {which}")
        if short:
            notes.append(
                f"no threshold reaches a precision of {precision:.3f}, and the best one is taken: "
                f"{', '.join(short)}"
            )
        return MultiLabel(temperature, thresholds), notes

    def result(self, outputs, names):
        """The "labels" that it has, and "probabilities" of all, the most probable first."""
        order, is_label = np.argsort(-outputs, kind="stable"), self.named(outputs)
        return {
            "labels": [names[i] for i in order if is_label[i]],
            "probabilities": {names[i]: float(outputs[i]) for i in order},
        }

    def sentence(self, result):
        """The labels, and the most probable ones."""
        best = list(result["probabilities"].items())
        best = best[: max(_MOST_SHOWN, len(result["labels"]))]
        shown = ", ".join(f"{label} {probability:.3f}" for label, probability in best)
        return f"{', '.join(result['labels']) or 'no label'} ({shown})"

    def signature(self, outputs, names):
        """`probabilities` and `is_label`, in the order of labels.txt."""
        import tensorflow as tf

        # Not the labels themselves: rows of a tensor are of one length, lists of labels are not.
        above = tf.cast(outputs, "float32") > tf.constant(self._thresholds(), "float32")
        return {"probabilities": outputs, "is_label": above}

    def evidence_for(self, outputs, names):
        """`label`, the most probable one."""
        import tensorflow as tf

        return {"label": tf.gather(tf.constant(names), tf.argmax(outputs, axis=-1))}

    def named(self, outputs):
        """1 for the labels above their thresholds."""
        return (outputs > np.array(self._thresholds(), "float32")).astype("float32")

    def right(self, targets, outputs):
        """Share of the labels that are rightly given or not given."""
        return (self.named(outputs) == targets).mean(-1, dtype="float64")

    def measure(self, targets, outputs, names, weights=None):
        """Accuracy of a yes or no, F1, share of documents without any error, and each label.

        Example:

        >>> figures = MultiLabel().measure(
        ...     np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[0.9, 0.2], [0.8, 0.1]]), ["a", "b"]
        ... )
        >>> figures["accuracy"], figures["exact"], round(figures["f1"], 2)
        (0.75, 0.5, 0.8)
        """
        truth, said = targets > 0.5, self.named(outputs) > 0.5
        each = np.ones(len(targets)) if weights is None else weights
        answers = each @ (truth.sum(-1) + said.sum(-1))
        reliability = Reliability.of(
            outputs.ravel(),
            truth.ravel(),
            weights=None if weights is None else np.repeat(weights, len(names)),
        )
        losses = -np.where(truth, log(outputs), log(1 - np.minimum(outputs, 1 - LEAST_PROBABILITY)))

        def mean(figures):
            return float(np.average(figures, weights=weights))

        return {
            "documents": len(targets),
            **total_weight(weights),
            "accuracy": mean(self.right(targets, outputs)),
            "none_accuracy": 1 - mean(truth.mean(-1)),
            "f1": float(2 * (each @ (truth & said).sum(-1)) / answers) if answers else 0.0,
            "exact": mean((truth == said).all(-1)),
            "loss": mean(losses.mean(-1)),
            "ece": reliability.error,
            "brier": mean(((outputs.astype("float64") - truth) ** 2).mean(-1)),
            "classes": per_label(truth, said, names, weights),
            "reliability": dataclasses.asdict(reliability),
        }

    def table(self, figures):
        """Figures of all documents, and a row for each label."""
        return "\n".join(
            [
                f"documents             {figures['documents']:,}",
                *total_weight_line(figures, 22),
                f"accuracy of a label   {figures['accuracy']:.4f}",
                f"never giving a label  {figures['none_accuracy']:.4f}",
                f"F1 over all labels    {figures['f1']:.4f}",
                f"all labels right      {figures['exact']:.4f}",
                f"loss                  {figures['loss']:.4f}",
                f"calibration error     {figures['ece']:.4f}",
                "",
                *per_label_table("label", figures["classes"]),
            ]
        )

    def get_config(self):
        """The name, and what calibration found."""
        config = {"name": self.name}
        if self.temperature != 1:
            config["temperature"] = self.temperature
        if self.thresholds is not None:
            config["thresholds"] = list(self.thresholds)
        return config

    def _thresholds(self):
        return NO_CHOICE if self.thresholds is None else self.thresholds

    def _names(self, labels):
        return list(map(label_name, self._several(labels)))

    def _several(self, labels):
        """The labels of a document, an iterable."""
        if isinstance(labels, (set, frozenset)):
            return labels
        is_numbers = isinstance(labels, np.ndarray) and labels.dtype.kind in "biuf"
        try:
            labels = as_list(labels, "labels")
        except ValueError:
            raise self._kind_error(labels, "a list of labels for every document") from None
        if _is_indicator(labels) and (is_numbers or len(set(labels)) < len(labels)):
            raise _indicator_error(labels)
        if is_numbers and any(x != int(x) for x in labels if np.isfinite(x)):
            raise self._kind_error(labels, "a list of labels, and not of probabilities,")
        return labels


def _refuse_indicators(labels):
    """Refuses rows of as many numbers each, 0 or 1: as names, they would all be of two classes."""
    if len(labels) < 2 or not all(isinstance(x, (list, tuple)) for x in labels):
        return
    if len({len(x) for x in labels}) == 1 and all(map(_is_indicator, labels)):
        raise _indicator_error(labels[0])


def _is_indicator(row):
    """Whether several numbers say of every label whether a document has it."""
    numbers = (bool, int, float, np.number, np.bool_)
    return len(row) > 1 and all(isinstance(x, numbers) and x in (0, 1) for x in row)


def _indicator_error(row):
    return ValueError(
        f"Expected a list of the labels that the document has (task='multi_label'). Received "
        f"{len(row)} numbers that are 0 or 1. Pass names, as inverse_transform of scikit-learn's "
        "MultiLabelBinarizer returns them."
    )
