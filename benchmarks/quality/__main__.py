"""Quality beside speed: the same small transformer with every attention, on three data sets.

`make quality` trains all rows of the table and writes docs/benchmarks.md; `make quality QUICK=1`
does the same on less of everything and leaves docs/ alone. What is done is kept in build/quality
(or build/quality-quick): a run that was cut off goes on where it stopped.
"""

import argparse
import functools

from benchmarks.common import files, machine
from benchmarks.common.processes import one_core_workers
from benchmarks.common.runs import run_all
from benchmarks.quality import data as data_sets
from benchmarks.quality import settings as published
from benchmarks.quality.estimate import estimate
from benchmarks.quality.page import PAGE
from benchmarks.quality.rows import is_baseline
from benchmarks.quality.runs import jobs_of, path_of, restore, summarize
from benchmarks.quality.training import train

SEEDS = 2  # how many; two end within five hours of two cores, three would not


def parse_arguments():
    """Returns what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, not into docs/")
    parser.add_argument("--estimate", action="store_true", help="only say how long it would take")
    parser.add_argument("--workers", type=int, default=2, help="models trained at a time")
    every = [*published.SETTINGS["datasets"]]
    parser.add_argument("--datasets", nargs="+", choices=every, default=every)
    parser.add_argument("--seeds", type=int, choices=range(1, 10), default=SEEDS, help="how many")
    parser.add_argument(
        "--resume", action="store_true", help="runs of docs/quality.json count as done"
    )
    return parser.parse_args()


def describe(figures):
    """Returns what is printed of a run."""
    return f"test accuracy {figures['accuracy']:.3f}, {figures['seconds']:.0f} s"


def main():
    """Runs what is missing and writes quality.json, quality.png and benchmarks.md."""
    arguments = parse_arguments()
    datasets = {name: published.SETTINGS["datasets"][name] for name in arguments.datasets}
    settings, seeds = {**published.SETTINGS, "datasets": datasets}, range(arguments.seeds)
    folder, output = files.BUILD / "quality", files.DOCS
    if arguments.quick:
        settings, seeds = published.quick(settings), range(published.QUICK_SEEDS)
        folder = output = files.BUILD / "quality-quick"
    with one_core_workers(1) as pool:
        data = {
            name: pool.submit(data_sets.describe, name, settings, folder).result()
            for name in arguments.datasets
        }
    if arguments.estimate:
        estimate(settings, seeds, arguments.workers, data, folder)
        return
    file = output / "quality.json"
    if arguments.resume and file.exists():
        count = restore(files.read_json(file), settings, seeds, folder)
        print(f"{count} runs are taken from {file.name}.")
    paths = {job: path_of(job, settings, folder) for job in jobs_of(settings, seeds)}
    trained = sum(not is_baseline(job[1]) and not path.exists() for job, path in paths.items())
    most = trained * settings["limit_seconds"] / arguments.workers / 3600
    print(f"Training takes at most {most:.1f} h, testing not counted.", flush=True)
    one = functools.partial(train, settings=settings, folder=folder)
    with one_core_workers(arguments.workers) as pool:
        runs = run_all(paths, one, pool, describe)
    figures = {
        **machine.provenance(("tensorflow", "keras", "scikit-learn")),
        "settings": settings,
        "seeds": [*seeds],
        "quick": arguments.quick,
        "data": data,
        "rows": summarize(runs, settings, seeds),
    }
    PAGE.write(output, figures)


if __name__ == "__main__":
    main()
