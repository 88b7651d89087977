"""Whether a token far away is found: associative recall with several kinds of attention.

`make recall` trains a small transformer with each of them on longer and longer sequences, and
writes its section of docs/benchmarks.md; `make recall QUICK=1` does the same on less of everything
and leaves docs/ alone. What is done is kept in build/recall (or build/recall-quick): a run that was
cut off goes on where it stopped.
"""

import argparse
import functools

from benchmarks.common import files, machine
from benchmarks.common.processes import one_core_workers
from benchmarks.common.runs import digest, run_all
from benchmarks.recall.page import PAGE, summarize
from benchmarks.recall.rows import DIRECTIONS, QUESTIONS, SETTINGS, quick, rows_of
from benchmarks.recall.training import train


def describe(figures):
    """Returns what is printed of a run."""
    found = []
    for length, one in figures.items():
        accuracies = (f"{one[question]['accuracy']:.3f}" for question in QUESTIONS)
        found.append(f"{length}: {' / '.join(accuracies)}")
    return f"accuracy of {', '.join(found)}; {max(x['seconds'] for x in figures.values()):.0f} s"


def main():
    """Runs what is missing and writes recall.json, recall.png and the tables of benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, not into docs/")
    parser.add_argument("--workers", type=int, default=2, help="models trained at a time")
    parser.add_argument("--seeds", type=int, choices=range(1, 10), default=1, help="how many")
    parser.add_argument("--directions", nargs="+", choices=DIRECTIONS, default=DIRECTIONS)
    arguments = parser.parse_args()
    settings, folder, output = SETTINGS, files.BUILD / "recall", files.DOCS
    if arguments.quick:
        settings = quick(settings)
        folder = output = files.BUILD / "recall-quick"
    code = digest(settings)
    paths = {
        (direction, row, seed): folder
        / f"{direction}-{row}-{seed}-{code}.json".replace(",", "").replace(" ", "_")
        for seed in range(arguments.seeds)
        for direction in arguments.directions
        for row in rows_of(direction)
    }
    one = functools.partial(train, settings=settings)
    with one_core_workers(arguments.workers) as pool:
        runs = run_all(paths, one, pool, describe)
    figures = {
        **machine.provenance(("tensorflow", "keras")),
        "settings": settings,
        "seeds": arguments.seeds,
        "quick": arguments.quick,
        "rows": summarize(runs),
    }
    PAGE.write(output, figures)


if __name__ == "__main__":
    main()
