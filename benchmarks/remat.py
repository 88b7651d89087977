"""What rematerialization saves: peak memory and time of a training step, with and without it.

`make bench` writes it into docs/benchmarks.md. Every figure is of a process of its own.
"""

import argparse
import concurrent.futures
import datetime
import multiprocessing
import time
from pathlib import Path

from benchmarks import report
from benchmarks.ablation import use_one_core
from benchmarks.speed import peak_bytes, restart_peak

ROOT = Path(__file__).resolve().parent.parent
# Size, tokens of a document, documents a batch.
CASES = [("tiny", 4096, 16), ("small", 4096, 4), ("small", 16384, 1)]
STEPS = 3
VOCABULARY_SIZE = 8000


def measure(size, length, batch_size, remat, steps=STEPS):
    """In a process of its own: `{"bytes": ..., "seconds": ...}` of a training step.

    Args:
        size: str, of the backbone.
        length: int, tokens of a document.
        batch_size: int.
        remat: bool.
        steps: int, of which the first builds the graph, and is not timed.
    """
    import keras
    import numpy as np

    from keras_combiner.layers import MaskedAveragePooling
    from keras_combiner.models import CombinerBackbone

    backbone = CombinerBackbone.from_size(size, VOCABULARY_SIZE, length, remat=remat)
    outputs = keras.layers.Dense(1)(MaskedAveragePooling()(backbone.output))
    model = keras.Model(backbone.input, outputs)
    model.compile("adam", "mse", jit_compile=False)
    token_ids = np.random.default_rng(0).integers(1, VOCABULARY_SIZE, (batch_size, length))
    targets = np.zeros(batch_size)
    before = restart_peak()
    started = None
    for _ in range(steps):
        model.train_on_batch(token_ids, targets)
        started = started or time.process_time()
    seconds = (time.process_time() - started) / (steps - 1)
    return {"bytes": peak_bytes() - before, "seconds": seconds}


def measured_apart(*arguments):
    """`measure` in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context, use_one_core) as pool:
        return pool.submit(measure, *arguments).result()


def main():
    """Measures, and writes docs/remat.json, docs/remat.png and docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs")
    arguments = parser.parse_args()
    rows = []
    for size, length, batch_size in CASES:
        row = {"size": size, "length": length, "batch_size": batch_size}
        for name, remat in (("without", False), ("with", True)):
            row[name] = measured_apart(size, length, batch_size, remat)
            print(size, length, batch_size, name, row[name], flush=True)
        rows.append(row)
    figures = {
        "date": datetime.date.today().isoformat(),
        "machine": report.machine(),
        "versions": report.versions(("keras", "tensorflow")),
        "rows": rows,
    }
    report.write(arguments.output, "remat", figures)


if __name__ == "__main__":
    main()
