"""Which labels a document has, for a .tflite file whose model has thresholds."""

import numpy as np


def given_labels(probabilities, task):
    """Finds the labels whose probability is above their threshold.

    Args:
        probabilities: np.ndarray float32 [labels].
        task: dict, what the file says: "name", and "threshold" or "thresholds" if there are any.

    Returns:
        list of int, places of labels, the most probable first; at most one of single labels.
    """
    order = np.argsort(-probabilities, kind="stable").tolist()
    if task.get("name") == "multi_label":
        thresholds = task.get("thresholds", [0.5] * len(order))
        return [i for i in order if probabilities[i] > np.float32(thresholds[i])]
    return [i for i in order[:1] if probabilities[i] > np.float32(task.get("threshold", -1))]
