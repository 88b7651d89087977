"""Where the time of training goes: the tiny classifier on State of the Union addresses.

`make bench` writes it into docs/benchmarks.md: documents a second, and what TensorFlow's profiler
has seen of a pass over them, summed by what it is for.
"""

import argparse
from pathlib import Path

from benchmarks.common import files, machine, processes
from benchmarks.training import profile
from benchmarks.training.page import PAGE


def main():
    """Measures, and writes training.json, training.png and benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=profile.SETTINGS["documents"])
    parser.add_argument("--output", type=Path, default=files.DOCS)
    arguments = parser.parse_args()
    settings = {**profile.SETTINGS, "documents": arguments.documents}
    processes.prepare_process("tensorflow", settings["threads"])
    figures = {
        **machine.provenance(("keras", "tensorflow")),
        "settings": settings,
        **profile.measure(settings),
    }
    PAGE.write(arguments.output, figures)


if __name__ == "__main__":
    main()
