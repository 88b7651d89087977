"""Temperature scaling: one number that makes a model as confident as it is right."""

import numpy as np

# Published temperatures lie between 1 and 3. Outside these bounds the documents tell too little.
LEAST, MOST = 0.1, 10.0
_HALVINGS = 60


def fit_temperature(logits, targets, activation):
    """Finds the temperature `T` for which `activation(logits / T)` has the least log loss.

    The log loss is convex in `1 / T`, so its slope changes sign once: bisection finds where.

    Args:
        logits: float array `[documents, units]`.
        targets: float array `[documents, units]`, 1 for true labels, else 0.
        activation: callable, logits to probabilities: softmax or sigmoid.

    Returns:
        float from `LEAST` to `MOST`. `LEAST` means that the loss falls the more confident the model
        gets, for example where no answer is wrong.

    Example:

    >>> sigmoid = lambda x: 1 / (1 + np.exp(-x))
    >>> logits = np.log([[9.0]] * 4)  # says 0.9, and is right three times of four
    >>> temperature = fit_temperature(logits, np.array([[1.0], [1.0], [1.0], [0.0]]), sigmoid)
    >>> round(float(sigmoid(logits[0, 0] / temperature)), 6)
    0.75

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
    https://arxiv.org/abs/1706.04599.
    """

    def slope(inverse):
        return float(((activation(inverse * logits) - targets) * logits).sum())

    low, high = 1 / MOST, 1 / LEAST
    if slope(high) <= 0:
        return LEAST
    if slope(low) >= 0:
        return MOST
    for _ in range(_HALVINGS):
        middle = np.sqrt(low * high)
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float(1 / np.sqrt(low * high))
