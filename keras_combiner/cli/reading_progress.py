"""ReadingProgress: how far a long reading of documents has come."""

import sys
import time

from keras_combiner.durations import duration

_SECONDS_BEFORE = 2.0  # a short reading shows nothing
_SECONDS_BETWEEN = 0.2  # between two looks of a line on a terminal
_SECONDS_BETWEEN_LINES = 60.0  # elsewhere


class ReadingProgress:
    """Shows the documents read, and the time left, on a line that redraws itself.

    Where the output is not a terminal, there is a line a minute.

    Args:
        total: int, the documents that there are.
        file: what to write to; standard error if None.

    Example:

    >>> progress = ReadingProgress(total=2)
    >>> progress(1)
    >>> progress.close()
    """

    def __init__(self, total, file=None):
        self._total = total
        self._file = file or sys.stderr
        self._is_terminal = self._file.isatty()
        between = _SECONDS_BETWEEN if self._is_terminal else _SECONDS_BETWEEN_LINES
        self._between = between
        self._start = time.perf_counter()
        self._next = self._start + max(_SECONDS_BEFORE, between)
        self._is_shown = False

    def __call__(self, done):
        """Shows that so many documents are read."""
        now = time.perf_counter()
        if now < self._next:
            return
        self._next = now + self._between
        self._is_shown = True
        speed = done / (now - self._start)
        left = duration(max(self._total - done, 0) / speed)
        shown = f"{speed:,.0f}" if speed >= 1 else f"{speed:.2f}"
        line = f"{done:,} of {self._total:,} documents, {shown} a second, {left} left"
        start, end = ("\r\x1b[K", "") if self._is_terminal else ("", "\n")
        print(f"{start}{line}", end=end, file=self._file, flush=True)

    def close(self):
        """Clears the line on a terminal."""
        if self._is_shown and self._is_terminal:
            print("\r\x1b[K", end="", file=self._file, flush=True)
