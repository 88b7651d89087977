"""Progress: how fast training goes, and how long it will take."""

import sys
import time

from keras_combiner.durations import duration
from keras_combiner.models.text_training_callback import TextTrainingCallback

_SECONDS_BETWEEN = 0.2  # between two looks of a line on a terminal
_SECONDS_BETWEEN_LINES = 60.0  # elsewhere


class Progress(TextTrainingCallback):
    """Shows documents/s, tokens/s, loss and the time left, on one line that redraws itself.

    Where the output is not a terminal, there is a line an epoch, and one a minute. Tokens are those
    that are read, without padding; with `long_texts="windows"` a window counts as its share of the
    documents. The time left is that of training alone, without validation.

    For `fit` on texts, of a `LongDocumentClassifier` or a `CombinerMaskedLM`, with `verbose=0`.

    Args:
        file: what to write to; standard output if None.

    Raises:
        ValueError: in `fit`, unless it is on texts.

    Attributes:
        epochs: list of dict, one an epoch: "epoch" (from 1), "seconds", "documents_per_second" and
            "tokens_per_second" of its training steps, without those before a resumption.
        data: dict, figures about the documents to train on.
        seconds: float, wall-clock time since training began, that before a resumption included.

    Example:

    >>> Progress.duration(3725)
    '1:02:05'
    """

    def __init__(self, file=None):
        super().__init__()
        self._file = file
        self._batches = None
        self.epochs = []
        self.data = {}
        self._seconds_before = 0.0  # a resumption
        self._began = time.perf_counter()

    @property
    def seconds(self):
        """float, wall-clock time since training began, that before a resumption included."""
        return self._seconds_before + time.perf_counter() - self._began

    def follow_batches(self, batches, steps, epochs, position):
        """See `TextTrainingCallback.follow_batches`; says what is trained on."""
        self._batches, self._steps, self._num_epochs = batches, steps, epochs
        self._position = position
        self.data = batches.summary()
        self._documents_a_row = self.data["documents"] / self.data["windows"]
        print(f"Training on {batches}.", file=self._file, flush=True)
        if position != (0, 0) and position[0] < epochs:
            epoch, step = position
            print(f"Resuming at step {step + 1} of epoch {epoch + 1}.", file=self._file, flush=True)
        self._seconds_here, self._steps_here = 0.0, 0
        self._began = time.perf_counter()

    def on_train_begin(self, logs=None):
        """Makes sure that there are batches to follow."""
        if self._batches is None:
            raise ValueError(
                "Progress is for `fit` on texts. Received: token ids, or another model. Pass a "
                "list of texts or a reader, or leave `Progress` out."
            )

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock."""
        self._epoch = epoch
        self._first = self._position[1] if epoch == self._position[0] else 0
        self._documents = self._tokens = 0
        self._start = self._shown = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        """Counts, and shows the line on a terminal."""
        now = time.perf_counter()
        if batch < self._first:  # a step of before the resumption
            self._start = now
            return
        rows, tokens = self._batches.size(self._epoch * self._steps + batch)
        self._documents += rows * self._documents_a_row
        self._tokens += tokens
        self._steps_here += 1
        if self._steps_here == 1:
            self._first_step = now - self._start
        self._now = now
        is_terminal = (self._file or sys.stdout).isatty()
        if now - self._shown > (_SECONDS_BETWEEN if is_terminal else _SECONDS_BETWEEN_LINES):
            self._shown = now
            self._write(self._line(batch + 1, logs), end="" if is_terminal else "\n")

    def on_epoch_end(self, epoch, logs=None):
        """Shows the epoch's line, with the validation."""
        if self._documents:
            seconds = max(self._now - self._start, 1e-9)
            self._seconds_here += seconds
            self._start = self._now
            self.epochs.append(
                {
                    "epoch": epoch + 1,
                    "seconds": seconds,
                    "documents_per_second": self._documents / seconds,
                    "tokens_per_second": self._tokens / seconds,
                }
            )
        self._write(self._line(self._steps, logs), end="\n")

    def get_state(self):
        """dict, for `Checkpoints`."""
        return {"epochs": self.epochs, "seconds": self.seconds}

    def set_state(self, state):
        """Undoes `get_state`."""
        self.epochs, self._seconds_before = state["epochs"], state["seconds"]

    @staticmethod
    def duration(seconds):
        """Writes seconds (float) as minutes and seconds, or hours, minutes and seconds."""
        return duration(seconds)

    def _write(self, line, end):
        out = self._file or sys.stdout
        erased = "\r\x1b[K" if out.isatty() else ""
        out.write(f"{erased}{line}{end}")
        out.flush()

    def _line(self, step, logs):
        line = f"epoch {self._epoch + 1}/{self._num_epochs}  step {step:,}/{self._steps:,}"
        line += "".join(f"  {name} {float(x):.4f}" for name, x in (logs or {}).items())
        running = max(self._now - self._start, 0.0) if self._documents else 0.0
        spent = self._seconds_here + running
        if running:
            rates = self._documents / running, self._tokens / running
        elif self._documents:
            rates = self.epochs[-1]["documents_per_second"], self.epochs[-1]["tokens_per_second"]
        else:
            return line
        steps = self._steps_here
        if steps > 1:  # the first builds the program, which no other one does
            steps, spent = steps - 1, spent - self._first_step
        left = (self._num_epochs - self._epoch) * self._steps - step
        line += f"  {rates[0]:,.1f} documents/s  {rates[1]:,.0f} tokens/s"
        return f"{line}  {self.duration(left * spent / steps)} left"
