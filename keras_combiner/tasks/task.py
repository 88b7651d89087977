"""Task: what every kind of target defines."""

import abc
import warnings

import keras
import numpy as np

from keras_combiner.batches.text_inputs import as_list, each, is_stream
from keras_combiner.data_warning import DataWarning
from keras_combiner.datasets.label_names import alike, alike_error, spelled_alike
from keras_combiner.factorizations import precision
from keras_combiner.shortened_repr import shortened_repr
from keras_combiner.tasks.outputs import Outputs

# As in Keras, so that one confident wrong answer does not make a loss infinite.
LEAST_PROBABILITY = 1e-7


class Task(Outputs):
    """What the outputs of a `LongDocumentClassifier` mean, from the labels to the answer.

    Everything that tells one kind of target from another stands in a subclass: how a label becomes
    a number, the last layer, loss and metrics, and how an answer is worded.

    Attributes:
        name: str, as a user names it.
        output: str, the name of the last layer with weights, and of the output of exports.
        activation: str, of the logits: the last layer with weights, and with `lexical` also the bag
            of tokens.
        loss: str, for `compile`.
        headline: str, the metric to show first.
        temperature: float, what the logits were divided by since training, in the weights that make
            them; see `keras_combiner.LongDocumentClassifier.calibrate`.
    """

    output = "probabilities"
    loss: str
    headline = "accuracy"
    temperature = 1.0

    def learned(self, labels):
        """Returns the task and the names of the outputs for a training set.

        Args:
            labels: labels in any container that `keras_combiner.batches.text_inputs.as_list` takes,
                or a stream of them, such as `labels()` of a reader.

        Returns:
            pair of `Task` and list of str.

        Raises:
            ValueError: for labels of another kind, missing ones, or names that differ in white
                space only, unless the labels are those of a reader that warns of these (of class
                folders). Of names that differ in case only, or as "1" and "1.0", a `DataWarning`
                says that they look alike.
        """
        names = set()
        for found in each(self._names, self._listed(labels)):
            names.update(found)
        in_spaces = alike(names)
        for group in () if getattr(labels, "keeps_alike_labels", False) else in_spaces:
            raise alike_error(map(repr, group))
        for group in spelled_alike(names):
            if group in in_spaces:  # the reader has warned of it
                continue
            warnings.warn(
                f"The labels {' and '.join(map(repr, group))} look alike: they are different "
                "classes. Write them in one way if they are the same.",
                DataWarning,
                stacklevel=3,
            )
        return self, sorted(names)

    @abc.abstractmethod
    def check_names(self, names):
        """Raises a ValueError if a model cannot have outputs of these names (list of str)."""

    @abc.abstractmethod
    def units(self, names):
        """Returns how many numbers the last layer has for a document."""

    def target(self, label, names):
        """Turns a label into what a loss takes; see `targets`, which is for many of them."""
        return self.targets(names)(label)

    @abc.abstractmethod
    def targets(self, names):
        """Returns the function that turns a label into what a loss takes.

        Args:
            names: list of str, the names of the outputs.

        Returns:
            callable of a label, as users and readers have it, which returns a numpy number or array
            of `target_shape` and `target_dtype`, and raises a ValueError if the label is of another
            kind, or unknown.
        """

    def check_targets(self, batches):
        """Warns if targets that a model is to be trained on are others than it was built for.

        Args:
            batches: callable without arguments: an iterable of arrays of targets.
        """
        return None

    @abc.abstractmethod
    def target_shape(self, names):
        """Shape of a target, list of int."""

    target_dtype = "float32"

    @abc.abstractmethod
    def metrics(self):
        """Metrics for `compile`: objects, which have their variables before the first step."""

    def finish(self, outputs):
        """Makes the model's outputs out of those of the last layer with weights."""
        return outputs

    @abc.abstractmethod
    def logit_weights(self, classes, units):
        """Says how much each logit counts in what `linear` returns for a class.

        Args:
            classes: int tensor `[batch]`, which class.
            units: int, number of logits.

        Returns:
            float32 tensor `[batch, units]`.
        """

    def activated(self, logits):
        """Turns logits into probabilities, float64 arrays `[..., units]`; not for a regression."""
        raise NotImplementedError

    def one_hot(self, targets, names):
        """Turns targets into 1 for true labels and else 0, float64 `[documents, units]`."""
        raise NotImplementedError

    @property
    def is_calibrated(self):
        """bool, whether it has a temperature or a threshold."""
        return self.get_config() != self.uncalibrated().get_config()

    def uncalibrated(self):
        """Returns the task without temperature and thresholds."""
        return self

    def thresholds_of(self, names):
        """The probability above which each label is given; None if nothing was chosen.

        Args:
            names: list of str.

        Returns:
            list of float, one a name; or None.
        """
        return None

    def with_threshold(self, threshold, names):
        """Returns a task that gives a label only above a probability.

        Args:
            threshold: what `LongDocumentClassifier.classify` takes; None for the task as it is.
            names: list of str.

        Returns:
            `Task`.

        Raises:
            ValueError: for a threshold out of range or of an unknown label, or a regression.
        """
        if threshold is None:
            return self
        raise ValueError(f"`threshold` is for labels; the task {self.name!r} has none.")

    def calibrated(self, temperature, probabilities, targets, names, precision=None):
        """Returns the task with a temperature and thresholds for it.

        Args:
            temperature: float.
            probabilities: float32 array `[documents, units]`, with this temperature.
            targets: array `[documents, ...]`.
            names: list of str.
            precision: float, the share of right answers that the thresholds are to reach; or None.

        Returns:
            pair of `Task` and list of str, notes about the thresholds.

        Raises:
            ValueError: for a task that has no probabilities.
        """
        raise ValueError(
            f"Calibration is for probabilities; the task {self.name!r} has none. Choose "
            "task='single_label' or 'multi_label', or leave `calibrate` out."
        )

    @abc.abstractmethod
    def result(self, outputs, names):
        """Words the answer for one document.

        Args:
            outputs: float array `[units]`.
            names: list of str.

        Returns:
            dict that JSON can hold.
        """

    @abc.abstractmethod
    def sentence(self, result):
        """The same in words: str, from what `result` returned."""

    def same(self, expected, received):
        """1 where the answer of a model is right by that of its export, or None."""
        return self.right(self.named(expected), received)

    def named(self, outputs):
        """The answers that the outputs stand for, in the form of targets."""
        return outputs

    def right(self, targets, outputs):
        """How much of each answer is right.

        Args:
            targets: array `[documents, ...]` of targets.
            outputs: float array `[documents, units]`.

        Returns:
            float array `[documents]`, from 0 to 1; or None where that has no meaning.
        """
        return None

    @abc.abstractmethod
    def measure(self, targets, outputs, names, weights=None):
        """Compares outputs with the truth.

        Args:
            targets: array `[documents, ...]`, at least one.
            outputs: float array `[documents, units]`.
            names: list of str.
            weights: float array `[documents]`, not all 0: how much each counts in means and shares,
                as `sample_weight` in scikit-learn. Numbers of documents stay what they are. None
                for all alike.

        Returns:
            dict of figures that JSON can hold, with "weight", the sum of the weights, if there are
            any.
        """

    @abc.abstractmethod
    def table(self, figures):
        """What `measure` returned, as text of several lines."""

    def _names(self, label):
        """The names in a label, an iterable; of tasks that leave `learned` as it is."""
        raise NotImplementedError

    def _listed(self, labels):
        return labels if is_stream(labels) else as_list(labels, "labels")

    def _kind_error(self, label, expected):
        return ValueError(
            f"Expected {expected} (task={self.name!r}). Received: {shortened_repr(label, 80)}. "
            "Say what the labels are with task='single_label', 'multi_label' or 'regression'."
        )


def log(x):
    """Logarithm of probabilities, never infinite; of a numpy array as one, or of a tensor."""
    if isinstance(x, np.ndarray):
        return np.log(np.maximum(x.astype("float64"), LEAST_PROBABILITY))
    return keras.ops.log(keras.ops.maximum(precision.at_least_float32(x), LEAST_PROBABILITY))


def total_weight(weights):
    """The entry of `measure` for weights: a dict, empty if there are none."""
    return {} if weights is None else {"weight": float(weights.sum())}


def total_weight_line(figures, width):
    """The lines of a table that `total_weight` fills, their headings padded to a width."""
    return [f"{'total weight':<{width}}{figures['weight']:,.6g}"] if "weight" in figures else []


def per_label(truth, said, names, weights=None):
    """Counts documents, precision and recall of every label.

    Args:
        truth: bool array `[documents, labels]`.
        said: bool array `[documents, labels]`.
        names: list of str.
        weights: float array `[documents]`, of precision and recall; None for all alike.

    Returns:
        dict of name to dict: "documents", "precision" (None if the label is never given) and
        "recall" (None if it has no documents), by weight.
    """
    each = np.ones(len(truth)) if weights is None else weights
    of_label, of_answer, right = each @ truth, each @ said, each @ (truth & said)
    counts = truth.sum(0)
    return {
        name: {
            "documents": int(counts[i]),
            "precision": float(right[i] / of_answer[i]) if of_answer[i] else None,
            "recall": float(right[i] / of_label[i]) if of_label[i] else None,
        }
        for i, name in enumerate(names)
    }


def per_label_table(heading, rows):
    """Returns the lines of a table of documents, precision and recall.

    Args:
        heading: str, what the names stand for.
        rows: dict of name to figures, as `per_label` returns it.

    Returns:
        list of str, the heading first.

    Example:

    >>> print(*per_label_table("class", {"tale": {"documents": 2, "precision": None, "recall": 0}}),
    ...       sep="\\n")
    class  documents  precision  recall
    tale           2          -   0.000
    """
    width = max(len(heading), *map(len, rows))
    lines = [f"{heading:<{width}}  documents  precision  recall"]
    for name, row in rows.items():
        precision, recall = (
            "-" if row[figure] is None else f"{row[figure]:.3f}"
            for figure in ("precision", "recall")
        )
        lines.append(f"{name:<{width}}  {row['documents']:>9,}  {precision:>9}  {recall:>6}")
    return lines
