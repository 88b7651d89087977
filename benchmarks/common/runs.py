"""Runs whose figures are kept on disk: an interrupted benchmark goes on where it stopped."""

import concurrent.futures
import hashlib
import json
import time

from benchmarks.common import files


def digest(*parts):
    """Returns a short name (str) for what depends on these parts and on nothing else.

    Args:
        *parts: bytes, or whatever JSON can hold.
    """
    contents = (
        part if isinstance(part, bytes) else json.dumps(part, sort_keys=True, default=str).encode()
        for part in parts
    )
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:8]


def code_of(*packages):
    """Returns the code (bytes) of keras_combiner, or of some of its packages only."""
    root = files.ROOT / "keras_combiner"
    code = []
    for folder in [root / package for package in packages] or [root]:
        found = sorted(folder.rglob("*.py"))
        if not found:
            raise FileNotFoundError(f"Expected a package of keras_combiner. Received: {folder}.")
        code += [x.read_bytes() for x in found]
    return b"".join(code)


def kept(path, make):
    """Returns the figures in a JSON file; calls `make()` and writes them there if it is missing."""
    return files.read_json(path) if path.exists() else files.write_json(path, make())


class Progress:
    """Says what is done, and how long the rest of its kind will take.

    Args:
        total: int, how many things there are to do.
    """

    def __init__(self, total):
        self.total, self.done, self.started = total, 0, time.monotonic()

    def say(self, what):
        """Prints one more thing that is done."""
        self.done += 1
        elapsed = time.monotonic() - self.started
        left = elapsed / self.done * (self.total - self.done) / 60
        print(f"{self.done}/{self.total} {what}; about {left:.0f} min left of these", flush=True)


def run_all(paths, function, pool, describe):
    """Runs every job whose figures are not kept yet; returns the figures of all.

    Args:
        paths: dict of a job (tuple, the arguments of `function`) to the path of its figures.
        function: callable; it returns what JSON can hold.
        pool: `concurrent.futures.Executor`, which runs it.
        describe: callable of a job's figures, what to print of it (str).

    Returns:
        dict of job to figures.
    """
    missing = [job for job, path in paths.items() if not path.exists()]
    print(f"{len(paths) - len(missing)} of {len(paths)} runs are done already.", flush=True)
    progress = Progress(len(missing))
    jobs = {pool.submit(function, *job): job for job in missing}
    for future in concurrent.futures.as_completed(jobs):
        job = jobs[future]
        figures = files.write_json(paths[job], future.result())
        progress.say(f"{', '.join(map(str, job))}: {describe(figures)}")
    return {job: files.read_json(path) for job, path in paths.items()}
