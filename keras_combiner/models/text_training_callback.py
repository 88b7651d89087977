"""TextTrainingCallback: what `fit` on texts tells the callbacks of this package."""

import keras


class TextTrainingCallback(keras.callbacks.Callback):
    """A callback that `fit` on texts tells what it trains on, and whose state checkpoints keep.

    A subclass overrides what it needs; each of these methods does nothing here.

    Example:

    >>> class LastPlaces(TextTrainingCallback):
    ...     def follow_batches(self, batches, steps, epochs, position):
    ...         self.last = batches.places(steps * epochs - 1)
    >>> LastPlaces().get_state() is None
    True
    """

    def follow_batches(self, batches, steps, epochs, position):
        """Called before training starts, with the model not yet set.

        Args:
            batches: `keras_combiner.batches.text_batches.TextBatches`, what the model trains on.
            steps: int, batches in an epoch.
            epochs: int.
            position: pair of int, the epoch and the step in it with which training starts.
        """

    def get_state(self):
        """Returns what `Checkpoints` keeps of the callback: a dict that JSON can hold, or None."""
        return None

    def set_state(self, state):
        """Undoes `get_state`."""


class ResumingCallback(TextTrainingCallback):
    """The callback that says where a training starts, and with which order of the documents."""

    @property
    def seed(self):
        """int, of the order of documents in the training to be resumed; None without one."""
        raise NotImplementedError

    def start_from(self, model, settings, callbacks):
        """Called before training starts, and before `follow_batches`.

        Args:
            model: `keras.Model`, compiled.
            settings: dict that JSON can hold, what the batches and the recipe are made from.
            callbacks: list of `keras.callbacks.Callback`, whose state belongs to the training.

        Returns:
            pair of int, epoch and step in it to start with.
        """
        raise NotImplementedError

    def release(self):
        """Called when the training is over, however it has ended."""


def resuming(callbacks):
    """Returns the `ResumingCallback` out of a list of callbacks, or None."""
    return next((x for x in callbacks if isinstance(x, ResumingCallback)), None)
