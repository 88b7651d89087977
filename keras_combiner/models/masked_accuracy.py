"""MaskedAccuracy: how many of the hidden tokens are found."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_combiner")
class MaskedAccuracy(keras.metrics.SparseCategoricalAccuracy):
    """Share of the targets that are the most probable token; targets of 0 do not count.

    Args:
        name: str.
        **kwargs: `dtype`.

    Example:

    >>> metric = MaskedAccuracy()
    >>> metric.update_state([[0, 1, 2]], [[[0.0, 9.0, 0.0], [0.0, 9.0, 0.0], [0.0, 9.0, 0.0]]])
    >>> float(metric.result())
    0.5
    """

    def __init__(self, name="accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds targets `[batch, n]` and logits `[batch, n, vocabulary]`."""
        counts = ops.cast(ops.not_equal(y_true, 0), self.dtype)
        if sample_weight is not None:
            counts = counts * ops.cast(sample_weight, self.dtype)
        return super().update_state(y_true, y_pred, counts)
