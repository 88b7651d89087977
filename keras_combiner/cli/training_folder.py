"""TrainingFolder: what `train` keeps beside the model, so that it can be resumed."""

import json
import shutil
from pathlib import Path

# They change neither the model nor what it is trained on; with other machines a training can go on.
_MAY_CHANGE = ("output", "overwrite", "resume", "checkpoint_every", "strategy")
# What settings.json says, and of what type it is.
_KEPT = {"command": str, "settings": dict, "finished": bool}
_START_AGAIN = "Start again with --overwrite."


class TrainingFolder:
    """The folder `checkpoints` of a training's output.

    It holds start.keras (the model before training), settings.json, last.npz (all that a
    resumption needs) and best.keras (the model after its best epoch).

    Args:
        output: str or path, the directory that `train` writes to.
        command: str, the command that trains.
        settings: dict that JSON can hold, its options.
    """

    def __init__(self, output, command, settings):
        self.path = Path(output) / "checkpoints"
        self.start, self.last, self.best = (
            self.path / name for name in ("start.keras", "last.npz", "best.keras")
        )
        self._settings_file = self.path / "settings.json"
        self._command = command
        self._settings = {name: x for name, x in settings.items() if name not in _MAY_CHANGE}

    @property
    def holds_training(self):
        """bool, whether there is a training to resume, finished or not."""
        return all(x.exists() for x in (self.start, self.last, self._settings_file))

    @property
    def is_finished(self):
        """bool, whether there is one, and its model has been written."""
        return self.holds_training and self._read()["finished"]

    def check_settings(self):
        """Raises a ValueError if the training there is of other settings."""
        kept = self._read()
        before, other = kept["settings"], kept["command"]
        if other != self._command:
            raise ValueError(
                f"{self.path} is of a training by `{other}`, which `{self._command}` cannot go on "
                "with. Choose another --output."
            )
        # An option that there was not yet is as if it had been left out.
        names = [
            name
            for name, value in self._settings.items()
            if value != before.get(name) and (name in before or value)
        ]
        if names:
            changed = ", ".join(
                f"--{name.replace('_', '-')} (it was {before.get(name)})" for name in names
            )
            raise ValueError(
                f"{self.path} is of a training with another {changed}. Resume with the same "
                "options, or start again with --overwrite."
            )

    def clear(self):
        """Removes what an earlier training left."""
        shutil.rmtree(self.path, ignore_errors=True)

    def begin(self, classifier):
        """Keeps an untrained model and the settings."""
        classifier.save(self.start)
        self._write(finished=False)

    def finish(self):
        """Notes that the model has been written."""
        self._write(finished=True)

    def _read(self):
        try:
            kept = json.loads(self._settings_file.read_text())
        except ValueError as error:
            raise ValueError(f"{self._settings_file} is damaged: {error}. {_START_AGAIN}") from None
        for name, kind in _KEPT.items():
            if not (isinstance(kept, dict) and isinstance(kept.get(name), kind)):
                raise ValueError(
                    f"{self._settings_file} was written by another version of keras_combiner, or "
                    f"is damaged: {name!r} is missing or wrong. {_START_AGAIN}"
                )
        return kept

    def _write(self, finished):
        from keras_combiner.atomic_files import atomic_write

        kept = {"command": self._command, "settings": self._settings, "finished": finished}
        text = json.dumps(kept, indent=2) + "\n"
        with atomic_write(self._settings_file, overwrite=True) as unfinished:
            unfinished.write_text(text)
