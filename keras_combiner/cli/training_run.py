"""TrainingRun: what every command that trains does before, around and after `fit`."""

import contextlib
import json
import os
import shutil
from pathlib import Path

from keras_combiner.cli import arguments as shared
from keras_combiner.cli import strategy
from keras_combiner.cli.sidecar_files import written_together
from keras_combiner.cli.training_folder import TrainingFolder
from keras_combiner.cli.training_result import TrainingResult
from keras_combiner.file_lock import FileLock

REPORT_FILE = "report.json"
HISTORY_PLOT = "training.png"
LOGS = "logs"
LOCK = "training.lock"


class TrainingRun:
    """One training of the command line, from the check of its output to the files that it writes.

    It holds the options and the output, and no results: `train` returns those. In a `with` block,
    no other training can use the output from `make_output` on; if the block fails before anything
    was written there, a directory that it made is removed.

    Args:
        arguments: `argparse.Namespace` with what `keras_combiner.cli.training_arguments` adds.
        distributed: `keras_combiner.training.Distributed`, what splits the batches; or None.

    Attributes:
        output: `pathlib.Path`, the directory.
        resumes: bool, whether it goes on with a training that was stopped.
        writes: bool, whether this process writes to `output`: with --strategy, the chief alone.
    """

    def __init__(self, arguments, distributed=None):
        self.arguments = arguments
        self.writes = distributed is None or distributed.is_chief
        self._distributed = distributed
        self.output = Path(arguments.output)
        self.model_file = self.output / shared.MODEL_FILE
        self.folder = TrainingFolder(self.output, arguments.command, recorded(arguments))
        self.resumes = arguments.resume and self.folder.holds_training
        self._makes_output = self.writes and not self.output.exists()
        self._lock = FileLock(self.output / LOCK, f"trains into {self.output}")

    def __enter__(self):
        return self

    def __exit__(self, error, *more):
        self._lock.release()
        if error and self._makes_output:
            with contextlib.suppress(OSError):  # it holds something, or was not made yet
                self.output.rmdir()

    def is_done(self):
        """Looks at what --output holds: whether this training has finished there already.

        Raises:
            BlockingIOError: if another training writes to it.
            ValueError: if it is to be resumed with other options.
            FileExistsError: if it holds something that may not be replaced.
            NotADirectoryError: if it is a file.
        """
        if self.writes:
            self._lock.check()
        if self.resumes:
            self.folder.check_settings()
            if self.folder.is_finished and self.model_file.exists():
                print(f"This training has finished: {self.model_file}. There is nothing to resume.")
                return True
        elif self.model_file.exists() and not self.arguments.overwrite:
            raise FileExistsError(
                f"{self.model_file} exists. Choose another --output, or replace it with "
                "--overwrite."
            )
        elif self.folder.holds_training and not self.arguments.overwrite:
            raise FileExistsError(
                f"{self.folder.path} holds a training that was stopped. Go on with it with "
                "--resume, or start again with --overwrite."
            )
        if self.output.exists() and not self.output.is_dir():
            raise NotADirectoryError(
                f"{self.output} is a file. --output is a directory to write to."
            )
        return False

    def make_output(self):
        """Makes the directory, once the data are known to be good, and takes it for this training.

        Raises:
            BlockingIOError: if another training has been faster.
            FileExistsError: if one has been, and has ended.
            PermissionError: if nothing can be written there.
            ValueError: with --strategy, if the machines' options differ.
        """
        if self.writes:
            self.output.mkdir(parents=True, exist_ok=True)
            if not os.access(self.output, os.W_OK):
                raise PermissionError(
                    f"{self.output} cannot be written to. Choose another --output."
                )
            self._lock.acquire()
            resumes = self.arguments.resume and self.folder.holds_training
            if resumes != self.resumes or self.is_done():
                raise FileExistsError(
                    f"Another training has written to {self.output} in the meantime. Look at it, "
                    "and start again."
                )
        if self._distributed:
            strategy.agree(self._distributed, self.arguments, self.resumes)

    def train(self, kind, untrained, documents, validation, **options):
        """Makes the model, or loads the one to go on with, says what is trained, and trains it.

        Args:
            kind: the class of the model, which has a method `load`.
            untrained: callable without arguments that makes one.
            documents: `keras_combiner.datasets.DocumentReader`.
            validation: another, or None.
            **options: what else the model's `fit` takes.

        Returns:
            `keras_combiner.cli.training_result.TrainingResult`.
        """
        arguments = self.arguments
        model = self._before_training(kind, untrained)
        self._print_model(model)
        callbacks = self._callbacks("loss" if validation is None else "val_loss")
        history = model.fit(
            documents,
            validation_data=validation,
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            seed=arguments.seed,
            gradient_accumulation_steps=arguments.accumulate if arguments.accumulate > 1 else None,
            callbacks=list(callbacks.values()),
            verbose=0,  # the callbacks show how it goes
            **options,
        ).history
        seconds = callbacks["progress"].seconds  # read at once: it goes on counting
        progress, best_epoch = callbacks["progress"], callbacks["best"].epoch
        num_epochs = max(map(len, history.values()))
        epoch = num_epochs - 1
        if arguments.patience and best_epoch is not None:
            epoch = best_epoch
            if num_epochs < arguments.epochs:
                print(
                    f"Stopped after epoch {num_epochs}: {arguments.patience} without a smaller "
                    "loss."
                )
            if epoch != num_epochs - 1:
                print(f"The model is that of the best epoch, {epoch + 1}.")
                model = kind.load(self.folder.best)
        return TrainingResult(
            model=model,
            history=history,
            epoch=epoch,
            best_epoch=best_epoch,
            data=progress.data,
            epochs=progress.epochs,
            seconds=seconds,
            resumed_at=callbacks["checkpoints"].position if self.resumes else None,
        )

    def leave_to_chief(self):
        """Ends a training, in place of what follows, where another machine writes the model.

        Returns:
            int, the exit code.
        """
        self._distributed.agree()  # the chief has written all
        print("Trained. The model is in the --output of the chief.")
        return 0

    def write(self, model, texts, report, plots, earlier):
        """Writes the model, sidecar files and the report.

        Args:
            model: what to keep.
            texts: dict of file name to str, what goes with the model.
            report: dict that JSON can hold, what report.json says.
            plots: list of file names that are there already.
            earlier: set of file names that an earlier model may have left.

        Returns:
            list of str, the names of the files beside the model.
        """
        from keras_combiner.atomic_files import atomic_write

        texts = {**texts, REPORT_FILE: json.dumps(report, indent=2, default=float) + "\n"}
        # The model gets its name last: where there is one, the other files are its own.
        overwrite = self.arguments.overwrite or self.resumes
        with (
            atomic_write(self.model_file, overwrite=overwrite) as unfinished,
            written_together(self.output, texts),
        ):
            model.save(unfinished)
        for name in earlier - {*texts, *plots}:
            # An earlier model's, which this one has replaced.
            (self.output / name).unlink(missing_ok=True)
        self.folder.finish()
        if self._distributed:
            self._distributed.agree()
        return [*texts, *plots]

    def print_written(self, names, seconds):
        """Says what was written: names of files, as `write` returned them, and after how long."""
        print(
            f"Wrote {self.model_file}, {', '.join(names)} in {self.output} after "
            f"{seconds:.0f} s of training."
        )

    def _before_training(self, kind, untrained):
        """The model as it was before its first step."""
        import keras

        keras.utils.set_random_seed(self.arguments.seed)
        if self.resumes:
            return kind.load(self.folder.start)
        if self.arguments.resume:
            print(f"Nothing to resume in {self.output}: training starts from the beginning.")
        model = untrained()
        if self.writes:
            self.folder.clear()
            shutil.rmtree(self.output / LOGS, ignore_errors=True)
            self.folder.begin(model)
        return model

    def _print_model(self, model):
        size = self.arguments.size
        what = f"a {size} model" if size else f"the model of {self.arguments.pretrained}"
        print(
            f"Training {what}, {model.count_params():,} parameters, on documents of up to "
            f"{model.sequence_length:,} tokens.",
            flush=True,
        )

    def _callbacks(self, monitor):
        """The callbacks of `fit` by name, in the order in which they are called."""
        import keras

        from keras_combiner.training import BestModel, Checkpoints, FiniteLoss, Progress

        arguments = self.arguments
        # What replaces the step of Keras comes first: `Checkpoints` wraps it.
        callbacks = {"distributed": self._distributed} if self._distributed else {}
        callbacks |= {
            "finite": FiniteLoss(),
            "progress": Progress(),
            "best": BestModel(self.folder.best, monitor, write=self.writes),
        }
        if self.writes:
            callbacks["logs"] = keras.callbacks.TensorBoard(self.output / LOGS, write_graph=False)
        if arguments.patience:
            callbacks["patience"] = keras.callbacks.EarlyStopping(
                monitor, mode="min", patience=arguments.patience
            )
        every = None if arguments.checkpoint_every == "epoch" else arguments.checkpoint_every
        callbacks["checkpoints"] = Checkpoints(
            self.folder.last, every=every, resume=arguments.resume, write=self.writes
        )
        return callbacks


def plot_history(output, history):
    """Draws the course of the training.

    Args:
        output: `pathlib.Path`, the directory.
        history: dict of str to list of float.

    Returns:
        list of the name of the file; empty, with a note on the terminal, without matplotlib.
    """
    from keras_combiner.training import plots

    try:
        plots.plot_history(output / HISTORY_PLOT, history)
    except ImportError as error:
        print(f"No plots: {error}")
        return []
    return [HISTORY_PLOT]


def recorded(arguments):
    """The options as a dictionary that JSON can hold."""
    internal = ("run", "command", "debug")
    return {name: value for name, value in vars(arguments).items() if name not in internal}
