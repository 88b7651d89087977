"""Calibration: from logits and the truth to a task with a temperature and thresholds."""

import numpy as np

from keras_combiner.models import temperature
from keras_combiner.models.calibration_report import CalibrationReport, figures_of

LEAST_DOCUMENTS = 10


def fitted_temperature(task, logits, targets, names):
    """Find the temperature for which the logits have the least log loss.

    Args:
        task: `keras_combiner.tasks.Task`, as it is.
        logits: float array `[documents, units]`, of the model as it is.
        targets: array `[documents, ...]`.
        names: list of str.

    Returns:
        pair of float and list of str, what is to be known about it.

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
    # From the logits of training: calibrating twice is calibrating once.
    trained = logits * task.temperature
    found = temperature.fit_temperature(trained, task.one_hot(targets, names), task.activated)
    if found == temperature.LEAST:
        return task.temperature, [
            "the temperature stays: so few answers are wrong that none can be fitted"
        ]
    if found == temperature.MOST:
        return found, [
            "the temperature is the largest allowed: the probabilities say next to nothing"
        ]
    return found, []


def calibrated(task, found, outputs, targets, names, precision=None):
    """Choose thresholds for a model that has its temperature, and compare it with what it was.

    Args:
        task: `keras_combiner.tasks.Task`, as it was.
        found: what `fitted_temperature` returned.
        outputs: pair of float arrays `[documents, units]`, what the model says of the documents
            without and with the temperature.
        targets: array `[documents, ...]`.
        names: list of str.
        precision: float, the share of right answers that the thresholds are to reach; or None.

    Returns:
        pair of the new `Task` and `CalibrationReport`.
    """
    (fitted, notes), (before, after) = found, outputs
    new, more = task.calibrated(fitted, after, targets, names, precision)
    thresholds = new.thresholds_of(names)
    report = CalibrationReport(
        documents=len(targets),
        temperature=fitted,
        thresholds=thresholds and dict(zip(names, thresholds, strict=True)),
        before=figures_of(task.measure(targets, before, names)),
        after=figures_of(new.measure(targets, after, names)),
        notes=(*notes, *more),
    )
    return new, report
