"""How fast and how large attention is beside its peers: one layer, all peers in one run.

`make bench` measures what is not measured yet, length by length, and writes docs/benchmarks.md. All
layers of a length take turns, each framework in processes of its own, and every figure is a ratio
of medians; times of different runs are never compared. What is done is kept in build/speed: a run
that was cut off goes on where it stopped.
"""

import argparse
import concurrent.futures
import datetime
import functools
import hashlib
import json
import math
import multiprocessing
import os
import resource
import statistics
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from benchmarks import attention_layers, report
from benchmarks.attention_layers import BACKENDS, BOTH, FLOOR, FORWARD, FULL, NAMES
from keras_combiner.whole_files import written_whole

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "build" / "speed"
LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
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
MEMORY_FROM = 2048  # tokens; below it, memory is no reason to choose
# Of what is free: a pass that would need more is left out. All passes of a length live side by
# side, and allocators, above all XLA's and LiteRT's, keep what they once had.
MEMORY_SHARES = {mode: {"graph": 0.45, "torch": 0.25}.get(mode, 0.1) for mode in NAMES}

PASSES = (FORWARD, BOTH)
PACKAGES = (
    *("tensorflow", "keras", "jax", "torch", "ai-edge-litert"),
    *("tf-models-official", "transformers"),
)

_programs = {}  # of a worker process


def prepare(mode, name, length, settings, passes=PASSES):
    """In a worker process: makes ready what `run_once` runs; the passes that there are."""
    programs = attention_layers.programs(name, mode, length, settings)
    programs = {what: run for what, run in programs.items() if what in passes}
    for run in programs.values():
        run()  # traced and compiled, or refused
    _programs[mode, name] = programs
    return tuple(programs)


def run_once(mode, name, what):
    """In a worker process: seconds that one run takes."""
    started = time.perf_counter()
    _programs[mode, name][what]()
    return time.perf_counter() - started


def take_turns(runs, settings):
    """The median of what each of `runs` (a dict of callables) returns, turn by turn: A B A B."""
    seconds = {job: [] for job in runs}
    for turn in range(settings["warm_up"] + settings["repeats"]):
        for job, run in runs.items():
            one = run()
            if turn >= settings["warm_up"]:
                seconds[job].append(one)
    return {job: statistics.median(some) for job, some in seconds.items()}


def process_of(mode, name):
    """Which process a layer runs in: full attention, which takes most memory, has its own."""
    return BACKENDS[mode], name.startswith(FULL)


def worker(backend, settings):
    """A new process for one framework."""
    return concurrent.futures.ProcessPoolExecutor(
        1,
        multiprocessing.get_context("spawn"),
        attention_layers.prepare_process,
        (backend, settings["threads"]),
    )


def seconds_of(jobs, length, settings):
    """Median seconds, by mode, name and pass; all take turns, so that what disturbs, disturbs all.

    Args:
        jobs: dict of `(mode, name)` to passes (sequence of str).
        length: int.
        settings: see `SETTINGS`.
    """
    modes = dict.fromkeys(mode for mode, _ in jobs)
    processes = dict.fromkeys(process_of(*job) for job in jobs)
    workers = {process: worker(process[0], settings) for process in processes}
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
            for (mode, name), median in take_turns(runs, settings).items():
                medians[mode][name][what] = median
    finally:
        for executor in workers.values():
            executor.shutdown()
    return medians


def peak_memory_here(mode, name, length, settings, passes):
    """In a worker process: bytes that every pass adds to what the process holds before."""
    # What a framework loads when it is first used does not count.
    prepare(mode, name, SMALL_LENGTH, {**settings, "width": settings["num_heads"]})
    before = restart_peak()
    peaks = {}
    for what, run in attention_layers.programs(name, mode, length, settings).items():
        if what in passes:
            run()
            peaks[what] = max(0, peak_bytes() - before)
    return peaks


def restart_peak():
    """Forgets the most that this process has held, where the system can; what counts from now."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes():
    """The most bytes that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        if "VmHWM" in lines:
            return int(lines["VmHWM"].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_memory(mode, name, length, settings, passes):
    """Bytes by pass out of a new process; `{"error": ...}` if the layer does not run there."""
    with worker(BACKENDS[mode], settings) as executor:
        job = executor.submit(peak_memory_here, mode, name, length, settings, passes)
        try:
            return job.result()
        except BrokenProcessPool:
            return {"error": "no memory"}
        except Exception as error:  # a peer's own limits, or an extra that is not installed
            return {"error": f"{type(error).__name__}: {error}"}


def available_memory():
    """Bytes that a new process may take."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def expected_memory(sizes, length):
    """Bytes at `length`, by `sizes` (bytes by shorter length); 0 if it is empty.

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


class Cache:
    """Figures on disk, by name; those of other settings, or of other code, do not count."""

    def __init__(self, folder, settings):
        code = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for name in ("factorizations", "layers"):
            for path in sorted((ROOT / "keras_combiner" / name).glob("*.py")):
                code.update(path.read_bytes())
        code.update(Path(attention_layers.__file__).read_bytes())
        self.folder = folder / code.hexdigest()[:8]

    def get(self, name, make):
        """The figures called `name`; made and kept if there are none."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            figures = make()
            with written_whole(path, overwrite=True) as unfinished:
                unfinished.write_text(json.dumps(figures, indent=1))
        return json.loads(path.read_text())


def measure(lengths, names, settings, cache):
    """All figures, a dictionary by length; passes that memory has no room for drop out."""
    figures = {}
    jobs = [(mode, name) for mode, some in names.items() for name in some]
    sizes = {(*job, what): {} for job in jobs for what in PASSES}
    started = time.monotonic()
    for done, length in enumerate(lengths, 1):
        memory = {mode: {} for mode in names}
        passes = {}
        available = available_memory()
        for mode, name in jobs:
            if length > LONGEST and (mode != "graph" or name not in BEYOND_LONGEST):
                continue
            room = MEMORY_SHARES[mode] * available
            expected = {what: expected_memory(sizes[mode, name, what], length) for what in PASSES}
            some = [what for what in PASSES if expected[what] <= room]
            if some and length >= MEMORY_FROM:
                key = f"memory-{mode}-{name}-{length}-{len(some)}".replace(" ", "_")
                make = functools.partial(peak_memory, mode, name, length, settings, some)
                found = memory[mode][name] = cache.get(key, make)
                some = [what for what in some if what in found]
                for what in some:
                    sizes[mode, name, what][length] = found[what]
            if some:
                passes[mode, name] = some
            for what in PASSES:
                if expected[what] > room:
                    memory[mode].setdefault(name, {})[what] = f"about {expected[what] / 1e9:.0f}"
        seconds = cache.get(
            f"seconds-{length}", functools.partial(seconds_of, passes, length, settings)
        )
        figures[length] = {"seconds": seconds, "memory": memory}
        minutes = (time.monotonic() - started) / 60
        print(f"Length {length}: {done} of {len(lengths)}, {minutes:.1f} min so far.", flush=True)
    return figures


def main():
    """Measures what is missing and writes docs/speed.json, docs/speed.png, docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--modes", nargs="+", choices=NAMES, default=[*NAMES])
    parser.add_argument("--repeats", type=int, default=SETTINGS["repeats"])
    parser.add_argument("--output", type=Path, default=ROOT / "docs")
    arguments = parser.parse_args()
    settings = {**SETTINGS, "repeats": arguments.repeats, "modes": arguments.modes}
    names = {mode: NAMES[mode] for mode in arguments.modes}
    cache = Cache(CACHE, {**settings, "versions": report.versions(PACKAGES)})
    figures = {
        "date": datetime.date.today().isoformat(),
        "machine": report.machine(),
        "versions": report.versions(PACKAGES),
        "settings": settings,
        "lengths": measure(sorted(arguments.lengths), names, settings, cache),
    }
    report.write(arguments.output, "speed", figures)


if __name__ == "__main__":
    main()
