"""Checkpoints: training that continues where it was stopped, as if it had not been."""

import json
import os
import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_combiner.atomic_files import atomic_write
from keras_combiner.file_lock import FileLock
from keras_combiner.models.text_training_callback import ResumingCallback
from keras_combiner.training import callback_state
from keras_combiner.training.recipe import as_from_json, differences, recipe_of

# A version of the file's contents, to be raised when it changes.
FORMAT = 2
# What the file says besides, and of what type it is.
_STATE = {
    "epoch": int,
    "step": int,
    "stopped": bool,
    "settings": dict,
    "callbacks": list,
    "variables": int,
    "metrics": int,
}
_MOST_NAMED = 8  # of the settings that have changed


class Checkpoints(ResumingCallback):
    """Writes the whole state of a training to a file, and resumes from it.

    That is weights, the state of the optimizer and of every random generator, metrics, history,
    the state of the other callbacks (early stopping, best model), and the position in the data. A
    training that was killed at any moment and resumed sees the batches that it would have seen,
    and ends, on a CPU, with the same weights bit for bit.

    The file is replaced only when the new one is whole: there is always a good one, whenever the
    process ends and when the disk is full. It is written at the start, after every epoch, and every
    `every` steps. Weights that are no longer finite are not written.

    For `fit` on texts, of a `LongDocumentClassifier` or a `CombinerMaskedLM`. The model must be
    built and compiled as it was the first time, and the documents and their labels, those of the
    validation too, must be the same in the same order.

    A file belongs to one training: while that runs, another one cannot use it.

    Args:
        path: str or path of the file, ending in ".npz".
        every: int, steps between two checkpoints within an epoch; None for none there. Needs the
            TensorFlow backend.
        resume: bool, whether to go on from the file if there is one.
        write: bool, whether to write at all: of several processes that train together
            (`Distributed`), one should, and the others only resume.

    Raises:
        ValueError: for another ending, an `every` that is not a positive int, a file that is not a
            checkpoint, an `every` under another backend than TensorFlow, or, in `fit`, a file of
            another model, other documents or other settings, which are named.
        RuntimeError: in `fit`, if weights are no longer finite.
        OSError: in `fit`, if the file cannot be written, or another training writes it.

    Example:

    >>> checkpoints = Checkpoints("runs/a/last.npz", every=500, resume=True)
    >>> checkpoints.position  # there is no such file yet: `fit(callbacks=[checkpoints])` makes it
    (0, 0)
    """

    def __init__(self, path, every=None, resume=False, write=True):
        super().__init__()
        self.path = Path(path)
        if self.path.suffix != ".npz":
            raise ValueError(f"A checkpoint is a file that ends in .npz. Received: {path}.")
        if every is not None and (not isinstance(every, int) or every < 1):
            raise ValueError(f"`every` must be an int of at least 1, or None. Received: {every!r}.")
        if every is not None and keras.backend.backend() != "tensorflow":
            raise ValueError("`every` needs the TensorFlow backend: leave it out.")
        self.every = every
        self.write = write
        self._resume = resume
        self._state, self._arrays = None, None
        self._read_state()
        self._settings = None
        self._lock = FileLock(
            self.path.with_suffix(".lock"), f"trains with its checkpoints in {self.path}"
        )

    @property
    def seed(self):
        """int, of the order of documents in the training to be resumed; None without one."""
        return self._state and self._state["settings"]["seed"]

    @property
    def position(self):
        """Pair of int, epoch and step in it with which training starts."""
        return (self._state["epoch"], self._state["step"]) if self._state else (0, 0)

    def start_from(self, model, settings, callbacks):
        """See `ResumingCallback.start_from`.

        Raises:
            ValueError: if the training to be resumed had other settings or callbacks.
            OSError: if another training has the file, or it cannot be written.
        """
        self._lock_file()
        self._settings = settings = as_from_json({**settings, **recipe_of(model)})
        self._callbacks = [x for x in callbacks if x is not self]
        if self._state is None:
            return 0, 0
        changed = differences(self._state["settings"], settings)
        if changed:
            more = len(changed) - _MOST_NAMED
            named = ", ".join(changed[:_MOST_NAMED]) + (f", and {more} more" if more > 0 else "")
            raise ValueError(
                f"{self.path} is of a training on other documents or with other settings: {named}. "
                "Resume with the same, or start again without `resume`."
            )
        return (settings["epochs"], 0) if self._state["stopped"] else self.position

    def follow_batches(self, batches, steps, epochs, position):
        """See `TextTrainingCallback.follow_batches`."""
        self._target = batches.target

    def on_train_begin(self, logs=None):
        """Restores what was saved."""
        if self._settings is None:
            raise ValueError(
                "Checkpoints are for `fit` on texts. Received: token ids, or another model. Pass a "
                "list of texts or a reader, or leave `Checkpoints` out."
            )
        model = self.model
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self._epoch = 0
        self._steps_before = 0
        if self._state is None:
            self._remove_leftovers()
            self._save(0, 0)
            return
        self._assign("variables", _variables(model))
        try:
            callback_state.restore(self._callbacks, self._state["callbacks"], self._arrays)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(
                f"{_of_another_version(self.path)} What it says of the callbacks cannot be read: "
                f"{type(error).__name__}: {error}."
            ) from error
        for callback in self._callbacks:
            if isinstance(callback, keras.callbacks.History):
                model.history = callback

    def release(self):
        """Lets another training have the file, however this one has ended."""
        self._lock.release()

    def on_epoch_begin(self, epoch, logs=None):
        """Skips the steps that were taken before."""
        self._epoch = epoch
        self._steps_before = 0
        if self._state is None or (epoch, 0) == self.position or epoch != self.position[0]:
            return
        self._steps_before = self.position[1]
        # Keras has just reset the metrics, or not made their variables yet: one example makes them.
        y = np.zeros(_one(self._target.shape), self._target.dtype.as_numpy_dtype)
        y_pred = np.zeros(_one(self.model.output_shape[1:]), "float32")
        self.model.compute_metrics(None, *map(keras.ops.convert_to_tensor, (y, y_pred)))
        self._assign("metrics", self.model.metrics_variables)
        _skip_steps(self.model, self._steps_before)

    def on_train_batch_end(self, batch, logs=None):
        """Saves every so many steps."""
        step, steps = batch + 1, self._settings["steps"]
        # What comes after the last step is saved at the end of the epoch, with the validation.
        if self.every and self._steps_before < step < steps:
            position = self._epoch * steps + step
            if position // self.every > (position - self.model.steps_per_execution) // self.every:
                self._save(self._epoch, step)

    def on_epoch_end(self, epoch, logs=None):
        """Saves."""
        self._save(epoch + 1, 0)

    def _lock_file(self):
        """Locks the file for this training, and reads it again: another may have written it."""
        if self.write:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        # Where several processes train together, the others must not read the file that the one
        # that writes has just made.
        if self.write or self._state is not None:
            self._read_state()

    def _read_state(self):
        if self._resume and self.path.exists():
            self._state, self._arrays = _read(self.path)

    def _remove_leftovers(self):
        pattern = f"{self.path.stem}.tmp-*{self.path.suffix}"
        for leftover in self.path.parent.glob(pattern) if self.write else ():
            leftover.unlink()

    def _assign(self, name, variables):
        saved = [self._arrays[f"{name}/{i}"] for i in range(self._state[name])]
        if [x.shape for x in saved] != [tuple(x.shape) for x in variables]:
            raise ValueError(
                f"{self.path} is of another model, or of one compiled otherwise. Build the model "
                "as it was, or start again without `resume`."
            )
        for variable, value in zip(variables, saved, strict=True):
            # numpy has no bfloat16 of its own: it comes back as bytes.
            dtype = keras.ops.convert_to_numpy(variable).dtype
            variable.assign(value.view(dtype) if value.dtype.kind == "V" else value)

    def _save(self, epoch, step):
        if not self.write:
            return
        model = self.model
        groups = {"variables": _variables(model), "metrics": model.metrics_variables}
        arrays = {
            f"{name}/{i}": keras.ops.convert_to_numpy(variable)
            for name, variables in groups.items()
            for i, variable in enumerate(variables)
        }
        self._check_finite(epoch, step)
        callbacks, more = callback_state.saved(self._callbacks)
        state = {
            "format": FORMAT,
            "epoch": epoch,
            "step": step,
            "stopped": bool(model.stop_training),
            "settings": self._settings,
            "callbacks": callbacks,
            **{name: len(variables) for name, variables in groups.items()},
        }
        try:
            with (
                atomic_write(self.path, overwrite=True) as unfinished,
                open(unfinished, "wb") as file,
            ):
                np.savez(file, state=np.array(json.dumps(state)), **arrays, **more)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            kept = "there is none before it"
            if self.path.exists():
                kept = "the last good one is kept: make room, and resume from there"
            raise OSError(
                error.errno,
                f"the checkpoint cannot be written: {error.strerror}; {kept}",
                str(self.path),
            ) from error

    def _check_finite(self, epoch, step):
        for variable in self.model.trainable_variables:
            if not np.isfinite(keras.ops.convert_to_numpy(variable).astype("float32")).all():
                raise RuntimeError(
                    f"After {epoch} epochs and {step} steps there are weights that are not finite. "
                    f"{self.path} keeps those of before. Take a smaller learning rate."
                )


def _one(shape):
    """The shape of a batch of one example, whose lengths, if they vary, are 1."""
    return [1, *(x or 1 for x in shape)]


def _variables(model):
    """All that training changes, except for metrics: weights, random states, the optimizer's."""
    variables = [*model.variables, *model.optimizer.variables]
    return list({id(x): x for x in variables}.values())


def _skip_steps(model, steps):
    """Makes the next calls of the train function do nothing, and read no batch."""
    train_function = model.train_function
    left = steps // model.steps_per_execution

    def idle(iterator):
        nonlocal left
        left -= 1
        if left == 0:
            model.train_function = train_function
        return model.get_metrics_result()

    model.train_function = idle


def _read(path):
    try:
        # Opened here: what numpy opens and cannot read, it leaves open.
        with open(path, "rb") as content, np.load(content) as file:
            arrays = dict(file)
        state = json.loads(str(arrays.pop("state")))
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a checkpoint, or a damaged one: {error}") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(_of_another_version(path))
    wrong = [x for x, kind in _STATE.items() if not isinstance(state.get(x), kind)]
    if not wrong:
        wrong = [x for x in ("epochs", "seed", "steps") if x not in state["settings"]]
        wrong += [x for x in state["callbacks"] if not _is_callback_state(x)]
        names = (f"{x}/{i}" for x in ("variables", "metrics") for i in range(state[x]))
        wrong += [x for x in names if x not in arrays]
    if wrong:
        raise ValueError(
            f"{path} is not a checkpoint, or a damaged one: {wrong[0]!r} is missing or wrong."
        )
    return state, arrays


def _is_callback_state(x):
    return isinstance(x, list) and len(x) == 2 and isinstance(x[0], str) and isinstance(x[1], dict)


def _of_another_version(path):
    return (
        f"{path} was written by another version of keras_combiner. Resume with that version, or "
        "start again without `resume`."
    )
