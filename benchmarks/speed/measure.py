"""Time and memory of one attention layer, all layers of a length in one run.

All layers of a length take turns, each framework in processes of its own; times of different runs
are never compared.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool

from benchmarks.common import memory, processes, timing
from benchmarks.common.runs import kept
from benchmarks.speed import layers
from benchmarks.speed.layers import BACKENDS, BOTH, FLOOR, FORWARD, FULL, NAMES

LONGEST = 65536  # beyond it, only what is made for it is measured, beside the floor
BEYOND_LONGEST = (FLOOR, "hierarchical")
SETTINGS = {
    "width": 512,
    "num_heads": 8,
    "batch_size": 1,
    "threads": 2,
    "warm_up": 2,
    "repeats": 7,
}
SMALL_LENGTH = 1024  # that every peer takes
MEMORY_FROM = 2048  # tokens; below it, memory is not a reason to choose
# Of what is free: a pass that would need more is left out. All passes of a length live side by
# side, and allocators, above all XLA's and LiteRT's, keep what they once had.
MEMORY_SHARES = {mode: {"graph": 0.45, "torch": 0.25}.get(mode, 0.1) for mode in NAMES}

PASSES = (FORWARD, BOTH)

_programs = {}  # of a worker process


def prepare(mode, name, length, settings, passes=PASSES):
    """In a worker process: makes ready what `run_once` runs; the passes that there are."""
    programs = layers.programs(name, mode, length, settings)
    programs = {what: run for what, run in programs.items() if what in passes}
    for run in programs.values():
        run()  # traced and compiled, or refused
    _programs[mode, name] = programs
    return tuple(programs)


def run_once(mode, name, what):
    """In a worker process: returns the seconds that one run takes."""
    started = time.perf_counter()
    _programs[mode, name][what]()
    return time.perf_counter() - started


def process_of(mode, name):
    """Returns which process a layer runs in: full attention takes most memory and has its own."""
    return BACKENDS[mode], name.startswith(FULL)


def worker(backend, settings):
    """Returns an executor of a new process for one framework."""
    return processes.worker(processes.prepare_process, (backend, settings["threads"]))


def seconds_of(jobs, length, settings):
    """Returns median seconds by mode, name and pass; all take turns, so that noise hits all alike.

    Args:
        jobs: dict of `(mode, name)` to passes (sequence of str).
        length: int.
        settings: see `SETTINGS`.
    """
    modes = dict.fromkeys(mode for mode, _ in jobs)
    places = dict.fromkeys(process_of(*job) for job in jobs)
    workers = {place: worker(place[0], settings) for place in places}
    medians = {mode: {} for mode in modes}
    passes = {}
    try:
        for (mode, name), some in jobs.items():
            ready = workers[process_of(mode, name)].submit(
                prepare, mode, name, length, settings, some
            )
            medians[mode][name] = {}
            try:
                passes[mode, name] = ready.result()
            except BrokenProcessPool:
                raise
            except Exception as error:  # a peer's own limits, or an extra that is missing
                medians[mode][name]["error"] = f"{type(error).__name__}: {error}"
        for what in PASSES:
            runs = {
                (mode, name): lambda mode=mode, name=name, what=what: (
                    workers[process_of(mode, name)].submit(run_once, mode, name, what).result()
                )
                for (mode, name), some in passes.items()
                if what in some
            }
            for (mode, name), median in timing.take_turns(runs, settings).items():
                medians[mode][name][what] = median
    finally:
        for executor in workers.values():
            executor.shutdown()
    return medians


def peak_memory_here(mode, name, length, settings, passes):
    """In a worker process: returns the bytes that every pass adds to what there is."""
    # What a framework loads when it is first used does not count.
    prepare(mode, name, SMALL_LENGTH, {**settings, "width": settings["num_heads"]})
    before = memory.restart_peak()
    peaks = {}
    for what, run in layers.programs(name, mode, length, settings).items():
        if what in passes:
            run()
            peaks[what] = max(0, memory.peak_bytes() - before)
    return peaks


def peak_memory(mode, name, length, settings, passes):
    """Returns bytes by pass out of a new process; `{"error": ...}` if the layer does not run."""
    with worker(BACKENDS[mode], settings) as executor:
        job = executor.submit(peak_memory_here, mode, name, length, settings, passes)
        try:
            return job.result()
        except BrokenProcessPool:
            return {"error": "no memory"}
        except Exception as error:  # a peer's own limits, or an extra that is not installed
            return {"error": f"{type(error).__name__}: {error}"}


def expected_memory(sizes, length):
    """Returns the bytes expected at `length`, by `sizes` (bytes by shorter length), or 0.

    It grows as between the last two lengths, but at least like the length; where there is only
    one, like its square.
    """
    if not sizes:
        return 0
    *others, longest = sorted(sizes)
    power = 2.0
    if others and sizes[others[-1]]:
        ratio = sizes[longest] / sizes[others[-1]]
        power = max(1.0, math.log(ratio, longest / others[-1]) if ratio else 1.0)
    return sizes[longest] * (length / longest) ** power


@dataclasses.dataclass(frozen=True)
class Meters:
    """What `measure` measures with.

    Attributes:
        peak_memory: see `peak_memory`.
        seconds_of: see `seconds_of`.
        available_memory: callable, bytes that a new process may take.
    """

    peak_memory: Callable = peak_memory
    seconds_of: Callable = seconds_of
    available_memory: Callable = memory.available_memory


def measure(lengths, names, settings, folder, meters=None):
    """Returns all figures by length; passes that memory has no room for drop out.

    Args:
        lengths: list of int, ascending.
        names: dict of mode to names, as `layers.NAMES`.
        settings: see `SETTINGS`.
        folder: path, where the figures of these settings are kept.
        meters: `Meters`.
    """
    meters, figures = meters or Meters(), {}
    jobs = [(mode, name) for mode, some in names.items() for name in some]
    sizes = {(*job, what): {} for job in jobs for what in PASSES}
    started = time.monotonic()
    for done, length in enumerate(lengths, 1):
        sizes_here = {mode: {} for mode in names}
        passes = {}
        available = meters.available_memory()
        for mode, name in jobs:
            if length > LONGEST and (mode != "graph" or name not in BEYOND_LONGEST):
                continue
            room = MEMORY_SHARES[mode] * available
            expected = {what: expected_memory(sizes[mode, name, what], length) for what in PASSES}
            some = [what for what in PASSES if expected[what] <= room]
            if some and length >= MEMORY_FROM:
                key = f"memory-{mode}-{name}-{length}-{len(some)}".replace(" ", "_")
                make = functools.partial(meters.peak_memory, mode, name, length, settings, some)
                found = sizes_here[mode][name] = kept(folder / f"{key}.json", make)
                some = [what for what in some if what in found]
                for what in some:
                    sizes[mode, name, what][length] = found[what]
            if some:
                passes[mode, name] = some
            for what in PASSES:
                if expected[what] > room:
                    sizes_here[mode].setdefault(name, {})[what] = (
                        f"about {expected[what] / 1e9:.0f}"
                    )
        make = functools.partial(meters.seconds_of, passes, length, settings)
        seconds = kept(folder / f"seconds-{length}.json", make)
        figures[length] = {"seconds": seconds, "memory": sizes_here}
        minutes = (time.monotonic() - started) / 60
        print(f"Length {length}: {done} of {len(lengths)}, {minutes:.1f} min so far.", flush=True)
    return figures
