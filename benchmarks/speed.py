"""How fast and how large attention is beside its peers: one layer, all peers in one run.

`make bench` measures what is not measured yet, length by length, and writes docs/benchmarks.md. All
layers of a length take turns, each framework in a process of its own, and every figure is a ratio
of medians; times of different runs are never compared. What is done is kept in build/speed: a run
that was cut off goes on where it stopped.
"""

import argparse
import concurrent.futures
import datetime
import functools
import hashlib
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from pathlib import Path

from benchmarks import attention_layers, report
from benchmarks.attention_layers import BACKENDS, BOTH, FORWARD, NAMES
from keras_combiner.whole_files import written_whole

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "build" / "speed"
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
SETTINGS = {
    "width": 512,
    "num_heads": 8,
    "batch_size": 1,
    "threads": 2,
    "warm_up": 2,
    "repeats": 7,
}
SMALL_LENGTH = 1024  # that every layer takes
MEMORY_SHARE = 0.9  # of what is free: a layer that would need more is left out

_programs = {}  # of a worker process


def prepare(mode, name, length, settings):
    """In a worker process: makes ready what `run_once` runs."""
    _programs[mode, name] = attention_layers.programs(name, mode, length, settings)
    return tuple(_programs[mode, name])


def run_once(mode, name, what):
    """In a worker process: seconds that one run takes."""
    started = time.perf_counter()
    _programs[mode, name][what]()
    return time.perf_counter() - started


def worker(backend, settings):
    """A new process for one framework."""
    return concurrent.futures.ProcessPoolExecutor(
        1,
        multiprocessing.get_context("spawn"),
        attention_layers.prepare_process,
        (backend, settings["threads"]),
    )


def seconds_of(names, length, settings):
    """Median seconds, by mode, name and pass; all take turns, so that what disturbs, disturbs all.

    Args:
        names: dict of mode (str) to names (sequence of str).
        length: int.
        settings: see `SETTINGS`.
    """
    workers = {backend: worker(backend, settings) for backend in {BACKENDS[x] for x in names}}
    medians = {mode: {name: {} for name in some} for mode, some in names.items()}
    try:
        jobs = [(mode, name) for mode, some in names.items() for name in some]
        passes = {
            (mode, name): workers[BACKENDS[mode]]
            .submit(prepare, mode, name, length, settings)
            .result()
            for mode, name in jobs
        }
        for what in (FORWARD, BOTH):
            times = {job: [] for job in jobs if what in passes[job]}
            for turn in range(settings["warm_up"] + settings["repeats"]):
                for mode, name in times:
                    seconds = workers[BACKENDS[mode]].submit(run_once, mode, name, what).result()
                    if turn >= settings["warm_up"]:
                        times[mode, name].append(seconds)
            for (mode, name), some in times.items():
                medians[mode][name][what] = statistics.median(some)
    finally:
        for executor in workers.values():
            executor.shutdown()
    return medians


def peak_memory_here(mode, name, length, settings):
    """In a worker process: bytes that every pass adds to the most that the process has held."""
    # What a framework loads when it is first used does not count.
    for what in prepare(mode, name, SMALL_LENGTH, {**settings, "width": settings["num_heads"]}):
        run_once(mode, name, what)
    before = _peak()
    peaks = {}
    for what in prepare(mode, name, length, settings):
        for _ in range(2):
            run_once(mode, name, what)
        peaks[what] = _peak() - before
    return peaks


def _peak():
    """The most bytes that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_memory(mode, name, length, settings):
    """Bytes by pass out of a new process; `{"error": ...}` if the layer does not run there."""
    with worker(BACKENDS[mode], settings) as executor:
        try:
            return executor.submit(peak_memory_here, mode, name, length, settings).result()
        except concurrent.futures.process.BrokenProcessPool:
            return {"error": "no memory"}
        except Exception as error:  # a peer's own limits, or an extra that is not installed
            return {"error": f"{type(error).__name__}: {error}"}


def available_memory():
    """Bytes that a new process may take."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def expected_memory(sizes):
    """Bytes at twice the longest length in `sizes` (bytes by length); 0 if it is empty.

    It grows as between the last two lengths, but at least like the length; where there is only
    one, like its square.
    """
    *others, last = (sizes[x] for x in sorted(sizes)) if sizes else (0, 0)
    return last * max(2.0, last / others[-1] if others and others[-1] else 4.0)


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
    """All figures, a dictionary by length; layers that memory has no room for drop out."""
    figures = {}
    sizes = {(mode, name): {} for mode, some in names.items() for name in some}
    started = time.monotonic()
    for done, length in enumerate(lengths, 1):
        memory = {mode: {} for mode in names}
        for mode, name in sizes:
            expected = expected_memory(sizes[mode, name])
            if expected > MEMORY_SHARE * available_memory():
                memory[mode][name] = {"error": f"no memory: about {expected / 1e9:.0f} GB"}
                continue
            memory[mode][name] = cache.get(
                f"memory-{mode}-{name}-{length}".replace(" ", "_"),
                functools.partial(peak_memory, mode, name, length, settings),
            )
            if "error" not in memory[mode][name]:
                sizes[mode, name][length] = max(memory[mode][name].values())
        there = {
            mode: [name for name in some if "error" not in some[name]]
            for mode, some in memory.items()
        }
        print(f"Length {length}: memory is measured, time is next.", flush=True)
        seconds = cache.get(
            f"seconds-{length}", functools.partial(seconds_of, there, length, settings)
        )
        figures[length] = {"seconds": seconds, "memory": memory}
        minutes = (time.monotonic() - started) / 60
        print(
            f"Length {length} is done, {done} of {len(lengths)}, after {minutes:.1f} min.",
            flush=True,
        )
    return figures


def versions():
    """What has been measured, a dictionary of package to version."""
    from importlib import metadata

    packages = ("tensorflow", "keras", "jax", "torch", "ai-edge-litert")
    packages += ("tf-models-official", "transformers")
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def main():
    """Measures what is missing and writes docs/speed.json, docs/speed.png, docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--modes", nargs="+", choices=NAMES, default=[*NAMES])
    parser.add_argument("--repeats", type=int, default=SETTINGS["repeats"])
    parser.add_argument("--output", type=Path, default=ROOT / "docs")
    arguments = parser.parse_args()
    settings = {**SETTINGS, "repeats": arguments.repeats}
    names = {mode: NAMES[mode] for mode in arguments.modes}
    cache = Cache(CACHE, {**settings, "modes": arguments.modes, "versions": versions()})
    figures = {
        "date": datetime.date.today().isoformat(),
        "machine": report.machine(),
        "versions": versions(),
        "settings": settings,
        "lengths": measure(sorted(arguments.lengths), names, settings, cache),
    }
    report.write(arguments.output, "speed", figures)


if __name__ == "__main__":
    main()
