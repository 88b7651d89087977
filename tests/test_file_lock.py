"""A file that one process holds at a time, and that a killed one leaves to others."""

import os
import signal
import subprocess
import sys

import pytest

from keras_combiner import file_lock
from keras_combiner.file_lock import FileLock

HOLD = """
import sys, time
from keras_combiner.file_lock import FileLock
lock = FileLock(sys.argv[1], "trains")
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_another_process_is_named_and_its_end_frees_the_file(tmp_path):
    path = tmp_path / "a.lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    lock = FileLock(path, "trains")
    for take in (lock.check, lock.acquire):
        with pytest.raises(BlockingIOError, match="another process trains") as caught:
            take()
        message = str(caught.value)
        assert f"process {process.pid} on " in message and str(path) in message
        assert f"-c {path}" in message or "-c" in message  # its command
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert path.exists()  # left behind
    lock.acquire()
    assert f"process {os.getpid()} on " in path.read_text()
    lock.release()
    assert not path.exists()


def test_one_object_at_a_time(tmp_path):
    first, second = (FileLock(tmp_path / "a.lock", "trains") for _ in range(2))
    first.check()
    first.acquire()
    first.acquire()  # has it already
    first.check()
    with pytest.raises(BlockingIOError):
        second.acquire()
    second.release()  # of what it does not have
    assert first.path.exists()
    first.release()
    second.check()
    assert not first.path.exists()
    second.acquire()
    second.release()


def test_where_there_are_no_locks_it_warns(tmp_path, monkeypatch):
    def none(file):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(file_lock, "_lock", none)
    lock = FileLock(tmp_path / "a.lock", "trains")
    with pytest.warns(
        UserWarning, match="cannot be locked .Operation not supported.*that no other"
    ):
        lock.acquire()
    lock.release()
