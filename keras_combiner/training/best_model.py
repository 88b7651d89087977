"""BestModel: the model as it was after its best epoch."""

from pathlib import Path

import keras


class BestModel(keras.callbacks.Callback):
    """Saves the model after each epoch that is better than those before; the file appears whole.

    Args:
        path: str or path, ending in ".keras".
        monitor: str, the figure that should become small.
        write: bool, whether to save; if not, only to keep count, as in `Checkpoints`.

    Attributes:
        epoch: int, the best one so far, from 0; None before the first.

    Example:

    >>> BestModel("runs/a/best.keras").get_state()
    {'best': None, 'epoch': None}
    """

    def __init__(self, path, monitor="val_loss", write=True):
        super().__init__()
        self.path = Path(path)
        self.monitor = monitor
        self.write = write
        self.best = self.epoch = None

    def on_epoch_end(self, epoch, logs=None):
        """Saves if this epoch is better."""
        figure = float(logs[self.monitor])
        if self.best is None or figure < self.best:
            if self.write:
                self.model.save(self.path)
            self.best, self.epoch = figure, epoch

    def get_state(self):
        """dict, for `Checkpoints`."""
        return {"best": self.best, "epoch": self.epoch}

    def set_state(self, state):
        """Undoes `get_state`."""
        self.best, self.epoch = state["best"], state["epoch"]
