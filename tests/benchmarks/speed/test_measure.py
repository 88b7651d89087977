"""The benchmark of speed: what memory has no room for drops out, and no regression slips by."""

import functools
import time

import pytest

from benchmarks.common.timing import take_turns
from benchmarks.speed import layers, measure
from benchmarks.speed.layers import BOTH, FLOOR, FORWARD, FULL

SETTINGS = {**measure.SETTINGS, "width": 16, "num_heads": 2, "warm_up": 1, "repeats": 1}


def test_memory_is_expected_to_grow_as_it_did():
    assert measure.expected_memory({}, 4096) == 0
    assert measure.expected_memory({2048: 3.0}, 4096) == 12.0  # like the square, to be safe
    grows = {2048: 1.0, 4096: 3.0}
    assert measure.expected_memory(grows, 8192) == pytest.approx(9.0)
    assert measure.expected_memory(grows, 16384) == pytest.approx(27.0)
    # At least like the length.
    assert measure.expected_memory({2048: 1.0, 4096: 1.1}, 8192) == pytest.approx(2.2)


def test_a_pass_drops_out_before_memory_is_spent(tmp_path):
    timed, asked = {}, []

    def peak_memory(mode, name, length, settings, passes):
        asked.append((name, length, passes))
        forward = 1e6 * (length**2 / 2048 if name == FULL else length) / 512
        return {what: forward * (1 if what == FORWARD else 3) for what in passes}

    def seconds_of(passes, length, settings):
        timed[length] = passes
        return {"graph": {name: {} for _, name in passes}}

    room = 25e6 / measure.MEMORY_SHARES["graph"]
    meters = measure.Meters(peak_memory, seconds_of, lambda: room)
    job = (1024, 2048, 4096), {"graph": (FLOOR, FULL)}, SETTINGS, tmp_path, meters
    found = measure.measure(*job)
    assert asked == [
        *((FLOOR, 2048, [FORWARD, BOTH]), (FULL, 2048, [FORWARD, BOTH])),
        # 4 times 4e6 bytes are less than 25e6, 4 times 12e6 are more.
        *((FLOOR, 4096, [FORWARD]), (FULL, 4096, [FORWARD])),
    ]
    assert timed[1024] == {("graph", x): [FORWARD, BOTH] for x in (FLOOR, FULL)}
    assert timed[4096] == {("graph", x): [FORWARD] for x in (FLOOR, FULL)}
    assert found[4096]["memory"]["graph"][FULL] == {FORWARD: 16e6, BOTH: "about 0"}
    asked.clear()
    measure.measure(*job)
    assert not asked, "what is measured is kept"


@pytest.mark.slow
def test_fixed_stays_near_the_floor_and_ahead_of_full_attention():
    """The check against regressions: ratios of one run, and a margin of about two."""
    settings = {**SETTINGS, "width": 256, "num_heads": 4, "warm_up": 2, "repeats": 7}
    programs = {
        name: layers.programs(name, "graph", 2048, settings) for name in (FLOOR, FULL, "fixed")
    }

    def seconds(run):
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    def is_fast(what, most):
        runs = {name: functools.partial(seconds, some[what]) for name, some in programs.items()}
        medians = take_turns(runs, settings)
        return medians["fixed"] < min(most * medians[FLOOR], 0.8 * medians[FULL])

    # What slows one run down, on a busy machine, is gone in another; a regression is not.
    for what, most in ((FORWARD, 3.5), (BOTH, 4.0)):
        assert any(is_fast(what, most) for _ in range(3)), what
