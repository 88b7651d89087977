"""The versions of a model in a directory, and which of them is served."""

import gc
import logging
import threading
from pathlib import Path

from keras_combiner.serving.served_version import ServedVersion
from keras_combiner.version_folders import SAVED_MODEL_FILE, no_saved_model, saved_models

_logger = logging.getLogger(__name__)


class ModelDirectory:
    """A directory whose newest version that works is kept in memory as `served`.

    As in TF Serving a version is a folder named by a number, the greatest is the newest, and if the
    newest is removed, the one before it is served again. A directory that is a SavedModel itself
    is its own only version. A version is loaded once its files have stayed the same from one look
    to the next; one that cannot be loaded is named in the log once, and tried again when its files
    change. What is served stays in memory whatever happens to its files; that they are gone is
    logged once.

    Args:
        directory: str or path.
        load: function of a path and a number that returns what is served, which has `number`.
        kept: iterable of int, versions that are kept in memory beside the newest.

    Attributes:
        served: what `load` returned, None before the first call of `load_newest`. It is replaced
            as a whole, so that whoever has taken it can finish with it.
    """

    def __init__(self, directory, load=ServedVersion, kept=()):
        self.directory = Path(directory)
        self.served = None
        self._load = load
        self._numbers_kept = sorted(set(kept))
        self._kept = {}  # number to what `load` returned
        self._served_folder = None
        self._states = {}  # the files of the folders that the last look saw
        self._broken = {}  # the files of a folder when it could not be loaded
        self._served_state = None
        self._is_missed = False  # whether the log says that what is served has no files any more
        self._stopped = threading.Event()

    def load_newest(self):
        """Loads the newest version that can be.

        Raises:
            FileNotFoundError: if the directory holds no version, or none can be loaded.
            ImportError: if what a SavedModel needs is not installed.
        """
        versions = saved_models(self.directory)
        for number, folder in versions:
            if self._take_up(number, folder, _state(folder)):
                return
        if versions:
            raise FileNotFoundError(
                f"No version in {self.directory} can be loaded; the lines above say why. Export "
                "the model again."
            )
        raise FileNotFoundError(no_saved_model(self.directory))

    def load_kept(self):
        """Loads the versions to keep, except for the one that is served as the newest already.

        Raises:
            FileNotFoundError: if one of them is not there, or cannot be loaded.
            ImportError: if what a SavedModel needs is not installed.
        """
        folders = dict(saved_models(self.directory))
        for number in self._numbers_kept:
            if number not in folders:
                raise FileNotFoundError(
                    f"Expected a version {number} in {self.directory}, which a label names. "
                    f"Received: {', '.join(map(str, sorted(folders))) or 'none'}."
                )
            if self.served is None or self.served.number != number:
                self._kept[number] = self._kept_version(folders[number], number)
            else:
                self._kept[number] = self.served

    def loaded(self):
        """Lists what is in memory.

        Returns:
            dict of int to what `load` returned, in ascending order of the versions' numbers. Of a
            version whose files were replaced while it was the newest, it is what was loaded last.
        """
        served = self.served
        return dict(sorted({**self._kept, served.number: served}.items()))

    def is_on_disk(self, number):
        """Whether there is a folder of a version, whatever it holds.

        Args:
            number: int.

        Returns:
            bool.
        """
        return number in dict(saved_models(self.directory))

    def refresh(self):
        """Looks for a newer version, and takes it up if there is one.

        Returns:
            bool, whether `served` is another one now.
        """
        before, self._states = self._states, {}
        versions = saved_models(self.directory)
        self._note_missing(versions)
        for number, folder in versions:
            state = self._states[folder] = _state(folder)
            is_served = folder == self._served_folder
            if is_served and state == self._served_state:
                return False
            if state is None or before.get(folder) != state:
                return False  # new, or still being written: perhaps at the next look
            if self._broken.get(folder) != state and self._take_up(number, folder, state):
                return True
            if is_served:
                return False
        return False

    def watch(self, seconds):
        """Calls `refresh` every so many seconds, in a thread, until `stop`.

        Args:
            seconds: float.
        """
        threading.Thread(target=self._watch, args=(seconds,), name="versions", daemon=True).start()

    def stop(self):
        """Ends the watching."""
        self._stopped.set()

    def _watch(self, seconds):
        while not self._stopped.wait(seconds):
            try:
                self.refresh()
            except Exception:  # the next look may succeed
                _logger.exception("Looking for versions in %s failed", self.directory)

    def _note_missing(self, versions):
        is_missed = self.served is not None and not versions
        if is_missed and not self._is_missed:
            _logger.warning(
                "%s holds no version any more; what was loaded from %s is still served",
                self.directory,
                self._served_folder,
            )
        self._is_missed = is_missed

    def _kept_version(self, folder, number):
        try:
            return self._load(folder, number)
        except ImportError:
            raise
        except Exception as error:
            raise FileNotFoundError(
                f"Version {number} in {folder}, which a label names, cannot be loaded: "
                f"{_reason(error)}"
            ) from error

    def _take_up(self, number, folder, state):
        try:
            if not (folder / SAVED_MODEL_FILE).is_file():
                raise FileNotFoundError(f"it holds no {SAVED_MODEL_FILE}")
            served = self._load(folder, number)
        except ImportError:
            raise
        except Exception as error:
            self._broken[folder] = state
            _logger.error("Version %d in %s is ignored: %s", number, folder, _reason(error))
            return False
        if number in self._kept:  # its files were replaced, and so is what was kept of them
            self._kept = {**self._kept, number: served}
        before, self.served = self.served, served
        self._served_folder, self._served_state = folder, state
        if before is not None:
            del before
            gc.collect()  # TensorFlow's objects know each other in circles
        _logger.info("Version %d is served from %s", number, folder)
        return True


def _reason(error):
    return " ".join(str(error).split())[:300] or type(error).__name__


def _state(folder):
    """Names, sizes and times of the files in a folder; None if they change meanwhile."""
    try:
        files = sorted(x for x in folder.rglob("*") if x.is_file())
        stats = [(x, x.stat()) for x in files]
    except OSError:
        return None
    return tuple((str(x), stat.st_size, stat.st_mtime_ns) for x, stat in stats)
