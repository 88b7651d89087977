"""Time and memory of attention beside its peers: one layer, all peers in one run.

`make bench` measures what is not measured yet, length by length, and writes docs/benchmarks.md.
Every figure is a ratio of medians of one run. What is done is kept in build/speed: a run that was
cut off goes on where it stopped.
"""

import argparse
from pathlib import Path

from benchmarks.common import files, machine
from benchmarks.common.runs import code_of, digest
from benchmarks.speed import layers
from benchmarks.speed.measure import SETTINGS, measure
from benchmarks.speed.page import PAGE

LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
PACKAGES = (
    *("tensorflow", "keras", "jax", "torch", "ai-edge-litert"),
    *("tf-models-official", "transformers"),
)


def main():
    """Measures what is missing and writes speed.json, speed.png and benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--modes", nargs="+", choices=layers.NAMES, default=[*layers.NAMES])
    parser.add_argument("--repeats", type=int, default=SETTINGS["repeats"])
    parser.add_argument("--output", type=Path, default=files.DOCS)
    arguments = parser.parse_args()
    settings = {**SETTINGS, "repeats": arguments.repeats, "modes": arguments.modes}
    names = {mode: layers.NAMES[mode] for mode in arguments.modes}
    provenance = machine.provenance(PACKAGES)
    # Figures of other settings, or of other code, do not count.
    code = digest(
        {**settings, "versions": provenance["versions"]},
        code_of("factorizations", "layers"),
        Path(layers.__file__).read_bytes(),
    )
    folder = files.BUILD / "speed" / code
    found = measure(sorted(arguments.lengths), names, settings, folder)
    PAGE.write(arguments.output, {**provenance, "settings": settings, "lengths": found})


if __name__ == "__main__":
    main()
