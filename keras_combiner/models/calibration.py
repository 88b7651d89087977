"""Calibration: from logits and the truth to a task with a temperature and thresholds."""

import keras
import numpy as np

from keras_combiner.batches import text_inputs
from keras_combiner.batches.documents import Documents
from keras_combiner.models import temperature
from keras_combiner.models.calibration_report import CalibrationReport, figures_of

LEAST_DOCUMENTS = 10


def calibrate(classifier, texts, labels=None, precision=None, batch_size=16):
    """Calibrates a classifier; see `keras_combiner.LongDocumentClassifier.calibrate`.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`, of which the last layer and the task
            are changed.
        texts: as there.
        labels: as there.
        precision: as there.
        batch_size: as there.

    Returns:
        `CalibrationReport`.

    Raises:
        ValueError: as there.
    """
    task, names = classifier.task, classifier.labels
    if task.name == "regression":
        task.calibrated(1.0, None, None, None)  # raises an error that says why not
    if precision is not None and not 0 < precision < 1:
        raise ValueError(
            f"`precision` must be a share between 0 and 1, both excluded. Received: {precision!r}."
        )
    if classifier.get_layer(task.output).quantization_mode is not None:
        raise ValueError(
            "The last layer is quantized by Keras, and its weights cannot be scaled. Calibrate "
            "the model first, and call `quantize` on it afterwards."
        )
    if not text_inputs.is_text(texts):
        raise ValueError(f"`calibrate` takes texts, or a reader. Received: {type(texts).__name__}.")
    features, windows, targets = features_of(classifier, Documents(texts, labels), batch_size)
    logits = logits_of(classifier, features, windows)
    found = fitted_temperature(task, logits, targets, names)
    before = _answers(classifier, features, windows)
    factor = task.temperature / found[0]
    classifier._scale_logits(factor)
    if classifier.lexical:
        features["lexical"] = features["lexical"] * factor
    # Not from the logits: thresholds are compared with what the model returns, rounding included.
    after = _answers(classifier, features, windows)
    classifier.task, report = calibrated(
        task, found, (before, after), targets, names, precision=precision
    )
    classifier._expects_weights = False
    return report


def features_of(classifier, documents, batch_size=16):
    """Computes, for documents, the inputs of the weights that a temperature scales.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`.
        documents: `Documents`.
        batch_size: int, windows a step.

    Returns:
        triple of dict of float arrays `[windows, ...]`: "pooled", what the last layer gets, and
        with `lexical` also "lexical", the logits of the bag of tokens; int array `[documents]`,
        windows of each; and array `[documents, ...]` of targets.
    """
    batches = classifier._batches(documents, batch_size)
    targets = list(classifier._targets(documents))
    tensors, windows = _feature_tensors(classifier), batches.documents.windows
    if not targets:
        features = {name: np.zeros((0, *x.shape[1:])) for name, x in tensors.items()}
        return features, windows, np.zeros(0)
    model = keras.Model(classifier.input, tensors)
    features = model.predict(batches.whole_dataset(), verbose=0)
    features = {name: batches.in_order(x) for name, x in features.items()}
    return features, windows, np.concatenate(targets)


def _feature_tensors(classifier):
    tensors = {"pooled": classifier.get_layer(classifier.task.output).input}
    if classifier.lexical:
        tensors["lexical"] = classifier.get_layer("lexical").output
    return tensors


def logits_of(classifier, features, windows):
    """Computes logits of documents, the mean of those of their windows.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`.
        features: dict of float arrays `[windows, ...]`, as `features_of` returns them.
        windows: int array `[documents]`, how many are of each.

    Returns:
        float64 array `[documents, units]`.
    """
    if not len(windows):
        return np.zeros((0, classifier.task.units(classifier.labels)))
    head = classifier.get_layer(classifier.task.output)
    # Not from probabilities: where one is nearly 1, they no longer tell the logit. And not from
    # the layer with another activation, while other threads call it.
    kernel, bias = (
        keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")).astype("float64")
        for x in (head.kernel, head.bias)
    )
    pooled = np.asarray(features["pooled"], "float64")
    by_label = "wcf,fc->wc" if classifier.pooling == "label" else "wf,fc->wc"
    logits = np.einsum(by_label, pooled, kernel) + bias
    if classifier.lexical:
        logits += features["lexical"]
    firsts = np.cumsum(windows) - windows
    return np.add.reduceat(logits, firsts) / np.expand_dims(windows, -1)


def _answers(classifier, features, windows):
    """The model's outputs for documents, `[documents, units]`, as `predict` returns them."""
    model = keras.Model(list(_feature_tensors(classifier).values()), classifier.output)
    outputs = model(list(features.values()), training=False)
    return classifier.pooled(keras.ops.convert_to_numpy(outputs), windows)


def fitted_temperature(task, logits, targets, names):
    """Finds the temperature for which the logits have the least log loss.

    Args:
        task: `keras_combiner.tasks.Task`, as it is.
        logits: float array `[documents, units]`, of the model as it is.
        targets: array `[documents, ...]`.
        names: list of str.

    Returns:
        pair of float and list of str, notes about it.

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
    # Relative to the logits as trained, so that calibrating twice equals calibrating once.
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
    """Chooses thresholds for a model with its temperature, and compares it with what it was.

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
