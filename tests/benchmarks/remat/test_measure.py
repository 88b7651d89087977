"""What rematerialization saves is measured in a process of its own."""

import pytest

from benchmarks.remat import measure


@pytest.mark.slow
def test_a_step_takes_memory_and_time():
    found = measure.measured_apart("tiny", 512, 2, True)
    assert 1e6 < found["bytes"] < 1e10
    assert 0 < found["seconds"] < 60
