"""MultiLabel: a document has any number of labels."""

import keras
import numpy as np

from keras_combiner.datasets.label_names import label_name
from keras_combiner.models.tasks.label_places import LabelPlaces
from keras_combiner.models.tasks.task import (
    LEAST_PROBABILITY,
    Task,
    log,
    per_label,
    per_label_table,
)
from keras_combiner.models.text_inputs import as_list, is_stream

THRESHOLD = 0.5
_MOST_SHOWN = 3


class MultiLabel(Task):
    """Any number of labels, none included: a sigmoid for each.

    A document has the labels whose probability is above one half.

    Example:

    >>> task, names = MultiLabel().learned([["red", "round"], [], ["red"]])
    >>> names, task.target(["red"], names).tolist()
    (['red', 'round'], [1.0, 0.0])
    """

    name = "multi_label"
    activation = "sigmoid"
    loss = "binary_crossentropy"

    def learned(self, labels):
        """The names, of lists of labels; see `Task.learned`."""
        labels = labels if is_stream(labels) else self._listed(labels)
        if isinstance(labels, list):
            _refuse_indicators(labels)
        return super().learned(labels)

    def check_names(self, names):
        """At least one, all different."""
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"`labels` must be different names, at least one. Received: {names!r}."
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
            keras.metrics.BinaryAccuracy(name="accuracy", threshold=THRESHOLD),
            keras.metrics.F1Score(average="micro", threshold=THRESHOLD, name="f1"),
        ]

    def linear(self, outputs):
        """Log odds."""
        return log(outputs) - log(1 - outputs)

    def result(self, outputs, names):
        """The "labels" above one half, and "probabilities" of all, the most probable first."""
        order = np.argsort(-outputs, kind="stable")
        return {
            "labels": [names[i] for i in order if outputs[i] > THRESHOLD],
            "probabilities": {names[i]: float(outputs[i]) for i in order},
        }

    def sentence(self, result):
        """The labels, and the most probable ones."""
        best = list(result["probabilities"].items())
        best = best[: max(_MOST_SHOWN, len(result["labels"]))]
        shown = ", ".join(f"{label} {probability:.3f}" for label, probability in best)
        return f"{', '.join(result['labels']) or 'no label'} ({shown})"

    def signature(self, outputs, names):
        """`probabilities`, in the order of labels.txt."""
        return {"probabilities": outputs}

    def evidence_for(self, outputs, names):
        """`label`, the most probable one."""
        import tensorflow as tf

        return {"label": tf.gather(tf.constant(names), tf.argmax(outputs, axis=-1))}

    def named(self, outputs):
        """1 for the labels above one half."""
        return (outputs > THRESHOLD).astype("float32")

    def right(self, targets, outputs):
        """Share of the labels that are rightly given or not given."""
        return (self.named(outputs) == targets).mean(-1, dtype="float64")

    def measure(self, targets, outputs, names):
        """Accuracy of a yes or no, F1, share of documents without any error, and each label.

        Example:

        >>> figures = MultiLabel().measure(
        ...     np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[0.9, 0.2], [0.8, 0.1]]), ["a", "b"]
        ... )
        >>> figures["accuracy"], figures["exact"], round(figures["f1"], 2)
        (0.75, 0.5, 0.8)
        """
        truth, said = targets > 0.5, self.named(outputs) > 0.5
        both = (truth & said).sum()
        losses = -np.where(truth, log(outputs), log(1 - np.minimum(outputs, 1 - LEAST_PROBABILITY)))
        return {
            "documents": len(targets),
            "accuracy": float(self.right(targets, outputs).mean()),
            "none_accuracy": float(1 - truth.mean()),
            "f1": float(2 * both / max(1, truth.sum() + said.sum())),
            "exact": float((truth == said).all(-1).mean()),
            "loss": float(losses.mean()),
            "classes": per_label(truth, said, names),
        }

    def table(self, figures):
        """Figures of all documents, and a row for each label."""
        return "\n".join(
            [
                f"documents             {figures['documents']:,}",
                f"accuracy of a label   {figures['accuracy']:.4f}",
                f"never giving a label  {figures['none_accuracy']:.4f}",
                f"F1 over all labels    {figures['f1']:.4f}",
                f"all labels right      {figures['exact']:.4f}",
                f"loss                  {figures['loss']:.4f}",
                "",
                *per_label_table("label", figures["classes"]),
            ]
        )

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
