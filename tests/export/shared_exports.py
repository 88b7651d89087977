"""SharedExports: what several files of tests read is exported once, by whoever comes first."""

import fcntl
import pickle


class SharedExports:
    """Exports in a folder that all processes of a run share.

    Args:
        folder: path of that folder.
    """

    def __init__(self, folder):
        self._folder = folder

    def get(self, name, file, export):
        """Exports, if nobody has.

        Args:
            name: str, of the export: what is exported, and how.
            file: str, its path below a folder of its own.
            export: function of a path that exports there.

        Returns:
            pair: the path of the export, which tests must not change, and what `export` returned.
        """
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        report = folder / "report.pickle"
        path = folder / "exported" / file
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not report.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                report.write_bytes(pickle.dumps(export(path)))
            return path, pickle.loads(report.read_bytes())
