"""What the abstractions buy: every Combiner plan against itself without them, on ListOps.

`make ablation` trains small classifiers of equal size for equally many steps, three seeds each,
and writes docs/ablation.md with its plot and figures. What is done is kept in build/ablation: a run
that was cut off goes on where it stopped.
"""

import argparse
import functools
from pathlib import Path

from benchmarks.ablation.divergence import random_divergences
from benchmarks.ablation.page import PAGE, summarize
from benchmarks.ablation.rows import ROWS, SEEDS, SETTINGS
from benchmarks.ablation.training import train, trivial_accuracies
from benchmarks.common import files, machine
from benchmarks.common.processes import one_core_workers
from benchmarks.common.runs import digest, run_all


def describe(figures):
    """Returns what is printed of a run."""
    return (
        f"validation accuracy {figures['validation']['accuracy']:.3f}, {figures['seconds']:.0f} s"
    )


def main():
    """Runs what is missing and writes ablation.json, ablation.png and ablation.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="models trained at a time")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="number of seeds")
    parser.add_argument("--steps", type=int, default=SETTINGS["train_steps"])
    parser.add_argument("--output", type=Path, default=files.DOCS)
    arguments = parser.parse_args()
    settings = {**SETTINGS, "train_steps": arguments.steps}
    code = digest(settings)
    paths = {
        (*row, seed): files.BUILD / "ablation" / f"{'-'.join(row)}-{seed}-{code}.json"
        for row in ROWS
        for seed in range(arguments.seeds)
    }
    one = functools.partial(train, settings=settings)
    with one_core_workers(arguments.workers) as pool:
        runs = run_all(paths, one, pool, describe)
    figures = {
        **machine.provenance(("tensorflow", "keras")),
        **summarize(runs, settings),
        "trivial": trivial_accuracies(settings),
        "random": random_divergences(settings),
    }
    PAGE.write(arguments.output, figures)


if __name__ == "__main__":
    main()
