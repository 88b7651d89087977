"""TrainingResult: the result of a training of the command line."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """The model of a training, and its figures.

    Attributes:
        model: the model to keep: that of the last epoch or, with --patience, of the best.
        history: dict of name to list of float, a figure of every epoch.
        epoch: int, the epoch whose model is kept, from 0.
        best_epoch: int, the epoch with the least loss, from 0; None if there is none.
        data: dict, what `keras_combiner.training.Progress` says of the documents.
        epochs: list of dict, what it says of every epoch.
        seconds: float, how long the training took.
        resumed_at: pair of int, the epoch and step at which it went on; None if it was not resumed.

    Example:

    >>> result = TrainingResult(
    ...     None, {"loss": [0.7, 0.4, 0.5]}, 1, 1, data={}, epochs=[], seconds=3.0, resumed_at=None
    ... )
    >>> result.metrics
    {'loss': 0.4}
    """

    model: Any
    history: dict
    epoch: int
    best_epoch: int | None
    data: dict
    epochs: list
    seconds: float
    resumed_at: tuple | None

    @property
    def metrics(self):
        """dict of name to float, the figures of the epoch whose model is kept."""
        return {name: figures[self.epoch] for name, figures in self.history.items() if figures}

    def report(self, arguments, documents):
        """Sums the training up.

        Args:
            arguments: dict that JSON can hold, the options.
            documents: dict that JSON can hold, what there was to learn from.

        Returns:
            dict, for report.json.
        """
        return {
            "arguments": arguments,
            "documents": documents,
            "training_data": self.data,
            "parameters": self.model.count_params(),
            "training_seconds": self.seconds,
            "resumed_at": self.resumed_at,
            "history": self.history,
            "epochs": self.epochs,
            "best_epoch": None if self.best_epoch is None else self.best_epoch + 1,
            "epoch": self.epoch + 1,
            "metrics": self.metrics,
            "versions": _versions(),
        }


def _versions():
    import platform

    import keras
    import tensorflow as tf

    from keras_combiner.version import __version__

    return {
        "keras_combiner": __version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "python": platform.python_version(),
    }
