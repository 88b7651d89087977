"""Silence where converters chat."""

import contextlib
import os


@contextlib.contextmanager
def quiet():
    """Keeps C++ progress notes, which nobody can act on, off the terminal."""
    with open(os.devnull, "w") as devnull:
        saved = os.dup(2)
        os.dup2(devnull.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
