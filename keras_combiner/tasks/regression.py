"""Regression: a document has a number."""

import warnings

import keras
import numpy as np

from keras_combiner.batches.text_inputs import each
from keras_combiner.data_warning import DataWarning
from keras_combiner.datasets.float32 import number_of
from keras_combiner.factorizations import precision
from keras_combiner.tasks.task import Task, total_weight, total_weight_line

# The spread of targets must be at least so many steps of float32.
_LEAST_STEPS = 100
# Targets whose mean is so many spreads away, or whose spread differs by this factor, are others.
_FAR = 10


class Regression(Task):
    """A number for every document.

    The last layer works in units of the training targets' spread around their mean, so that prices
    in the millions are learned as fast as shares; outputs, losses and metrics are in the targets'
    own unit.

    Args:
        mean: float, the mean of the training targets.
        scale: float, their standard deviation.

    Example:

    >>> task, names = Regression().learned([1.0, 2.0, 3.0])
    >>> names, task.mean, round(task.scale, 3)
    ([], 2.0, 0.816)
    """

    name = "regression"
    output = "value"
    activation = "linear"
    loss = "mean_squared_error"
    headline = "mean_absolute_error"

    def __init__(self, mean=0.0, scale=1.0):
        self.mean, self.scale = float(mean), float(scale)

    def learned(self, labels):
        """The task with mean and standard deviation of the targets.

        Raises:
            ValueError: for a target that is not a finite number, without any target, or if float32
                cannot tell the targets apart.
        """
        targets = np.array(list(each(self._number, self._listed(labels))), "float64")
        if len(targets) == 0:
            raise ValueError("There is no target to learn from.")
        scale = targets.std()
        finest = float(np.spacing(np.abs(targets).max().astype("float32")))
        if 0 < scale < _LEAST_STEPS * finest:
            raise ValueError(
                f"The targets lie around {targets.mean():.6g} and spread by {scale:.3g}, but "
                f"float32 has steps of {finest:.3g} there. Subtract their mean, or change their "
                "unit."
            )
        # Targets that are all the same have no spread.
        return Regression(targets.mean(), scale or 1.0), []

    def check_names(self, names):
        """There are none."""
        if names:
            raise ValueError(f"A regression has no labels. Received: {names!r}.")

    def units(self, names):
        """One."""
        return 1

    def targets(self, names):
        """To the number, float32 `[1]`."""
        return lambda label: np.array([self._number(label)], "float32")

    def check_targets(self, batches):
        """Warns if mean or spread are far from the task's own, which the last layer keeps."""
        targets = [np.ravel(x).astype("float64") for x in batches()]
        targets = np.concatenate(targets) if targets else np.zeros(0)
        if not len(targets):
            return
        mean, spread = targets.mean(), targets.std()
        is_other = abs(mean - self.mean) > _FAR * self.scale or spread > _FAR * self.scale
        # Few targets may lie close together by chance.
        is_narrow = len(targets) >= _FAR and 0 < spread < self.scale / _FAR
        if is_other or is_narrow:
            warnings.warn(
                f"The targets lie around {mean:.6g} and spread by {spread:.3g}. This model was "
                f"built for targets around {self.mean:.6g} that spread by {self.scale:.3g}, keeps "
                "that unit, and hardly learns from these. Build one for these targets, with "
                "`from_texts` or `from_pretrained`, or convert them into its unit.",
                DataWarning,
                stacklevel=3,
            )

    def target_shape(self, names):
        """A number, in a row of its own."""
        return [1]

    def metrics(self):
        """Mean absolute error."""
        return [keras.metrics.MeanAbsoluteError()]

    def finish(self, outputs):
        """Converts the outputs of the last layer to the unit of the targets."""
        dtype = precision.dtype_for(outputs)
        return keras.layers.Rescaling(self.scale, self.mean, dtype=dtype, name="unit")(outputs)

    def linear(self, outputs):
        """As it is."""
        return outputs

    def logit_weights(self, classes, units):
        """The unit of the targets."""
        return self.scale * keras.ops.one_hot(classes, units, dtype="float32")

    def result(self, outputs, names):
        """The "value"."""
        return {"value": float(outputs[0])}

    def sentence(self, result):
        """The value."""
        return f"{result['value']:.6g}"

    def signature(self, outputs, names):
        """`value`, one number a document."""
        return {"value": outputs[:, 0]}

    def same(self, expected, received):
        """None: numbers are near or far, not the same or different."""
        return None

    def measure(self, targets, outputs, names, weights=None):
        """Errors, and those of always saying the mean of these documents.

        Example:

        >>> figures = Regression().measure(np.array([[1.0], [3.0]]), np.array([[1.0], [2.0]]), [])
        >>> figures["mean_absolute_error"], figures["mean_baseline"], figures["r2"]
        (0.5, 1.0, 0.5)
        """
        targets, outputs = targets[:, 0].astype("float64"), outputs[:, 0].astype("float64")

        def mean(figures):
            return float(np.average(figures, weights=weights))

        errors, spread = outputs - targets, targets - mean(targets)
        loss, variance = mean(errors**2), mean(spread**2)
        return {
            "documents": len(targets),
            **total_weight(weights),
            "mean_absolute_error": mean(np.abs(errors)),
            "mean_baseline": mean(np.abs(spread)),
            "loss": loss,
            "r2": 1 - loss / variance if variance else None,
        }

    def table(self, figures):
        """Figures of all documents."""
        r2 = "-" if figures["r2"] is None else f"{figures['r2']:.4f}"
        return "\n".join(
            [
                f"documents            {figures['documents']:,}",
                *total_weight_line(figures, 21),
                f"mean absolute error  {figures['mean_absolute_error']:.6g}",
                f"always the mean      {figures['mean_baseline']:.6g}",
                f"mean squared error   {figures['loss']:.6g}",
                f"R squared            {r2}",
            ]
        )

    def get_config(self):
        """The name, mean and scale."""
        return {"name": self.name, "mean": self.mean, "scale": self.scale}

    def _number(self, label):
        number = number_of(label)
        if number is None:
            raise self._kind_error(label, "a finite number for every document")
        return number
