"""FileLock: a file that one process holds at a time."""

import contextlib
import datetime
import os
import shlex
import socket
import sys
import warnings
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

_FAR = 2**30  # Windows locks bytes, which cannot be read then: this one is never written
_LONGEST = 300  # of a command that is named


class FileLock:
    """A file that this process holds alone, and that says so.

    The operating system keeps the lock and takes it back when the process ends, even if it is
    killed: a leftover file does not block anything.

    Args:
        path: str or path of the file, which is made and, in the end, removed.
        purpose: str, what another process is doing that holds it, for the error.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "training.lock"
    >>> lock = FileLock(path, "trains into this directory")
    >>> lock.acquire()
    >>> path.exists()
    True
    >>> lock.release()
    >>> path.exists()
    False
    """

    def __init__(self, path, purpose):
        self.path = Path(path)
        self.purpose = purpose
        self._file = None

    def acquire(self):
        """Takes the lock; does nothing if this object has it already.

        Raises:
            BlockingIOError: if another one has it. It is named: command, process, machine, start.
            OSError: if the file cannot be written.
        """
        while self._file is None:
            # Not removed at the end of this block: the lock is the open file's.
            file = open(self.path, "a+", encoding="utf-8")  # noqa: SIM115
            try:
                _lock(file)
            except (BlockingIOError, PermissionError):
                file.seek(0)
                holder = file.read().strip() or "it does not say who"
                file.close()
                raise BlockingIOError(
                    f"{self.path}: another process {self.purpose} ({holder}). Wait until it has "
                    "ended, or choose another path."
                ) from None
            except OSError as error:
                # Some network file systems have no locks; to train there is better than not to.
                warnings.warn(
                    f"{self.path} cannot be locked ({error.strerror}). Make sure that no other "
                    f"process {self.purpose}.",
                    stacklevel=2,
                )
            else:
                if not _is_at(file, self.path):  # its last holder has just removed it
                    file.close()
                    continue
            self._file = file
            file.truncate(0)
            file.write(f"{_this_process()}\n")
            file.flush()

    def check(self):
        """Raises as `acquire` does if another one has the lock, and leaves no file."""
        if self._file is None and self.path.exists():
            self.acquire()
            self.release()

    def release(self):
        """Releases the lock, if this object holds it."""
        if self._file is None:
            return
        # While it is held: afterwards it might be another one's. Windows keeps what is open.
        with contextlib.suppress(OSError):
            self.path.unlink()
        self._file.close()
        self._file = None


def _lock(file):
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    file.seek(_FAR)
    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)


def _is_at(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _this_process():
    program, *arguments = sys.argv or [""]
    command = shlex.join([Path(program).name or "python", *arguments])
    if len(command) > _LONGEST:
        command = f"{command[:_LONGEST]} ..."
    now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return f"{command}; process {os.getpid()} on {socket.gethostname()}, since {now}"
