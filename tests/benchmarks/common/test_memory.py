"""Memory is that of the process."""

import os

from benchmarks.common import memory


def test_the_peak_has_what_was_held_and_starts_again():
    before = memory.restart_peak()
    assert before > 1e6
    assert len(b"1" * 200_000_000) == 200_000_000
    assert memory.peak_bytes() > before + 150e6
    assert memory.restart_peak() < before + 100e6
    assert memory.available_memory() > 1e6


def test_another_process_may_be_asked():
    own = memory.status_bytes("VmRSS", os.getpid())
    assert own is None or own > 1e6
    assert memory.status_bytes("VmRSS", 2**30) is None
