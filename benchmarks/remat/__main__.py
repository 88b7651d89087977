"""What rematerialization saves: peak memory and time of a training step, with and without it.

`make bench` writes it into docs/benchmarks.md. Every figure is of a process of its own.
"""

import argparse
from pathlib import Path

from benchmarks.common import files, machine
from benchmarks.remat.measure import CASES, measured_apart
from benchmarks.remat.page import PAGE


def main():
    """Measures, and writes remat.json, remat.png and benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=files.DOCS)
    arguments = parser.parse_args()
    rows = []
    for size, length, batch_size in CASES:
        row = {"size": size, "length": length, "batch_size": batch_size}
        for name, remat in (("without", False), ("with", True)):
            row[name] = measured_apart(size, length, batch_size, remat)
            print(size, length, batch_size, name, row[name], flush=True)
        rows.append(row)
    figures = {**machine.provenance(("keras", "tensorflow")), "rows": rows}
    PAGE.write(arguments.output, figures)


if __name__ == "__main__":
    main()
