"""evaluate_pooled: loss and metrics in which a document of several windows counts once."""

import keras
import numpy as np


def evaluate_pooled(model, batches, settings):
    """Computes loss and metrics of documents, not of their windows, as `keras.Model.evaluate`.

    Args:
        model: `DocumentModel`.
        batches: `TextBatches`.
        settings: dict, keyword arguments of `evaluate`, with callbacks.

    Returns:
        what `keras.Model.evaluate` returns.
    """
    callbacks, verbose = settings["callbacks"], settings.get("verbose", "auto")
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = keras.callbacks.CallbackList(
            callbacks,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=1,
            steps=len(batches),
            model=model,
        )
    callbacks.on_test_begin()
    outputs, targets, weights = [], [], batches.documents.weights
    for step, (token_ids, target, *_) in enumerate(batches.finite()):
        callbacks.on_test_batch_begin(step)
        outputs.append(model.predict_on_batch(token_ids))
        targets.append(target)
        callbacks.on_test_batch_end(step, {})
    outputs, targets = (batches.in_order(np.concatenate(x)) for x in (outputs, targets))
    outputs = model.pooled(outputs, batches.documents.windows)
    firsts = np.cumsum(batches.documents.windows) - batches.documents.windows
    y, y_pred = (keras.ops.convert_to_tensor(x) for x in (targets[firsts], outputs))
    model.reset_metrics()
    model._loss_tracker.update_state(model.compute_loss(None, y, y_pred, weights, training=False))
    metrics = model.compute_metrics(None, y, y_pred, weights)
    logs = {name: float(x) for name, x in metrics.items()}
    callbacks.on_test_end(logs)
    return logs if settings.get("return_dict") else model._flatten_metrics_in_order(logs)
