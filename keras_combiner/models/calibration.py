"""Calibration: from logits and the truth to a task with a temperature and thresholds."""

import numpy as np

from keras_combiner.models import temperature
from keras_combiner.models.calibration_report import CalibrationReport, figures_of

LEAST_DOCUMENTS = 10


def calibrated(task, logits, targets, names, precision=None):
    """Fit a temperature, then thresholds for the probabilities that it makes.

    Args:
        task: `keras_combiner.models.tasks.Task`, as it is.
        logits: float array `[documents, units]`, of the model as it is.
        targets: array `[documents, ...]`.
        names: list of str.
        precision: float, the share of right answers that the thresholds are to reach; or None.

    Returns:
        pair of the new `Task` and `CalibrationReport`.

    Raises:
        ValueError: for too few documents, or logits that are not finite.
    """
    if len(targets) < LEAST_DOCUMENTS:
        raise ValueError(
            f"Calibration needs at least {LEAST_DOCUMENTS} documents that the model was not "
            f"trained on, a hundred or more to be of use. Received: {len(targets)}."
        )
    logits = np.asarray(logits, "float64")
    if not np.all(np.isfinite(logits)):
        raise ValueError("The model's outputs are not finite: train it before calibrating it.")
    one_hot = task.one_hot(targets, names)
    # From the logits of training: calibrating twice is calibrating once.
    trained = logits * task.temperature
    found, notes = temperature.fit_temperature(trained, one_hot, task.activated), []
    if found == temperature.LEAST:
        found = task.temperature
        notes.append("the temperature stays: so few answers are wrong that none can be fitted")
    elif found == temperature.MOST:
        notes.append(
            "the temperature is the largest allowed: the probabilities say next to nothing"
        )
    probabilities = task.activated(trained / found).astype("float32")
    new, more = task.calibrated(found, probabilities, targets, names, precision)
    thresholds = new.thresholds_of(names)
    report = CalibrationReport(
        documents=len(targets),
        temperature=found,
        thresholds=thresholds and dict(zip(names, thresholds, strict=True)),
        before=_figures(task, logits, targets, one_hot, names),
        after=_figures(new, trained / found, targets, one_hot, names),
        notes=(*notes, *more),
    )
    return new, report


def _figures(task, logits, targets, one_hot, names):
    probabilities = task.activated(logits).astype("float32")
    return figures_of(task.measure(targets, probabilities, names), task.log_loss(logits, one_hot))
