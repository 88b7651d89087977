"""SingleLabel: every document belongs to one class."""

import keras
import numpy as np
from keras import ops

from keras_combiner.datasets.label_names import label_name
from keras_combiner.models.tasks.label_places import LabelPlaces
from keras_combiner.models.tasks.task import Task, log, per_label, per_label_table

_MOST_SHOWN = 3


class SingleLabel(Task):
    """One class of several: softmax over the classes.

    Example:

    >>> task, names = SingleLabel().learned(["tale", "weather", "tale"])
    >>> names, int(task.target("weather", names))
    (['tale', 'weather'], 1)
    """

    name = "single_label"
    activation = "softmax"
    loss = "sparse_categorical_crossentropy"
    target_dtype = "int32"

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

    def result(self, outputs, names):
        """The "label", and "probabilities" of all, the most probable first."""
        order = np.argsort(-outputs, kind="stable")
        return {
            "label": names[order[0]],
            "probabilities": {names[i]: float(outputs[i]) for i in order},
        }

    def sentence(self, result):
        """The label, and the most probable ones."""
        best = list(result["probabilities"].items())[:_MOST_SHOWN]
        shown = ", ".join(f"{label} {probability:.3f}" for label, probability in best)
        return f"{result['label']} ({shown})"

    def signature(self, outputs, names):
        """`probabilities` and `label`."""
        import tensorflow as tf

        best = tf.argmax(outputs, axis=-1)
        return {"probabilities": outputs, "label": tf.gather(tf.constant(names), best)}

    def named(self, outputs):
        """The most probable class."""
        return outputs.argmax(-1)

    def right(self, targets, outputs):
        """1 where the most probable class is the right one."""
        return (outputs.argmax(-1) == targets).astype("float64")

    def measure(self, targets, outputs, names):
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
        classes = per_label(one_hot[targets], one_hot[outputs.argmax(-1)], names)
        most = max(names, key=lambda name: classes[name]["documents"])
        truth = outputs[np.arange(len(targets)), targets]
        return {
            "documents": len(targets),
            "accuracy": float(self.right(targets, outputs).mean()),
            "loss": float(-log(truth).mean()),
            "majority_class": most,
            "majority_accuracy": classes[most]["documents"] / len(targets),
            "classes": classes,
        }

    def table(self, figures):
        """Figures of all documents, and a row for each class."""
        return "\n".join(
            [
                f"documents          {figures['documents']:,}",
                f"accuracy           {figures['accuracy']:.4f}",
                f"majority baseline  {figures['majority_accuracy']:.4f} "
                f"({figures['majority_class']})",
                f"loss               {figures['loss']:.4f}",
                "",
                *per_label_table("class", figures["classes"]),
            ]
        )

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
