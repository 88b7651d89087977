"""A worker is a process of its own, which was prepared."""

import os

from benchmarks.common import processes


def prepare(value):
    os.environ["SET_IN_A_WORKER"] = value


def test_a_worker_is_prepared_and_apart():
    with processes.worker(prepare, ("yes",)) as executor:
        assert executor.submit(os.getenv, "SET_IN_A_WORKER").result() == "yes"
        assert executor.submit(os.getpid).result() != os.getpid()
    assert "SET_IN_A_WORKER" not in os.environ
