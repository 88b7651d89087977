"""BestModel: the model as it was after its best epoch."""

from pathlib import Path

from keras_combiner.models.text_training_callback import TextTrainingCallback

# Parts of the names of figures that should become large.
_GROWING = ("acc", "precision", "recall", "auc", "f1", "r2")


class BestModel(TextTrainingCallback):
    """Saves the model after each epoch that is better than those before; the file appears whole.

    Args:
        path: str or path, ending in ".keras".
        monitor: str, the figure to go by.
        mode: "min" or "max", whether it should become small or large; "auto" for large if its name
            says accuracy, precision, recall, AUC, F1 or R², and small otherwise.
        write: bool, whether to save; if not, only to keep count, as in `Checkpoints`.

    Raises:
        ValueError: for an unknown `mode`; in `fit`, if there is no figure of that name.

    Attributes:
        epoch: int, the best one so far, from 0; None before the first.

    Example:

    >>> BestModel("runs/a/best.keras").get_state()
    {'best': None, 'epoch': None}
    """

    def __init__(self, path, monitor="val_loss", write=True, mode="auto"):
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"`mode` must be 'auto', 'min' or 'max'. Received: {mode!r}.")
        if mode == "auto":
            mode = "max" if any(name in monitor for name in _GROWING) else "min"
        self.mode = mode
        self.path = Path(path)
        self.monitor = monitor
        self.write = write
        self.best = self.epoch = None

    def on_epoch_end(self, epoch, logs=None):
        """Saves if this epoch is better."""
        if self.monitor not in logs:
            raise ValueError(
                f"BestModel goes by {self.monitor!r}, but the figures of an epoch are "
                f"{', '.join(sorted(logs))}. Name one of them with `monitor`."
            )
        figure = float(logs[self.monitor])
        is_better = self.best is None or (
            figure > self.best if self.mode == "max" else figure < self.best
        )
        if is_better:
            if self.write:
                self.model.save(self.path)
            self.best, self.epoch = figure, epoch

    def get_state(self):
        """dict, for `Checkpoints`."""
        return {"best": self.best, "epoch": self.epoch}

    def set_state(self, state):
        """Undoes `get_state`."""
        self.best, self.epoch = state["best"], state["epoch"]
