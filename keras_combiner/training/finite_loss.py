"""FiniteLoss: training stops where its loss is not a number, and says on which documents."""

import math

from keras_combiner.models.text_training_callback import TextTrainingCallback

_MOST_NAMED = 32


class FiniteLoss(TextTrainingCallback):
    """Stops at the first step whose loss is NaN or infinite, and names the documents of its batch.

    For `fit` on texts, of a `LongDocumentClassifier` or a `CombinerMaskedLM`.

    Raises:
        RuntimeError: in `fit`, at that step. Documents of a file are named by file and line, those
            of a list by their place in it, from 0.

    Example:

    >>> callback = FiniteLoss()
    >>> callback.on_train_batch_end(0, {"loss": 0.7})
    >>> callback.on_train_batch_end(1, {"loss": float("nan")})
    Traceback (most recent call last):
    RuntimeError: The loss is nan at step 2 of epoch 1. Take a smaller learning rate.
    """

    def __init__(self):
        super().__init__()
        self._batches, self._steps, self._epoch = None, 0, 0

    def follow_batches(self, batches, steps, epochs, position):
        """See `TextTrainingCallback.follow_batches`."""
        self._batches, self._steps = batches, steps

    def on_epoch_begin(self, epoch, logs=None):
        """Keeps count."""
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Looks at the loss: a mean over the epoch so far, which stays NaN once it is."""
        loss = float(logs["loss"])
        if math.isfinite(loss):
            return
        named = ""
        if self._batches is not None:
            places = self._batches.places(self._epoch * self._steps + batch)
            more = len(places) - _MOST_NAMED
            named = ", ".join(places[:_MOST_NAMED]) + (f", and {more} more" if more > 0 else "")
            named = f" The batch was: {named}."
        raise RuntimeError(
            f"The loss is {loss} at step {batch + 1} of epoch {self._epoch + 1}.{named} Take a "
            "smaller learning rate."
        )
