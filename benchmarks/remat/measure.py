"""Memory and time of a training step, with and without rematerialization."""

import time

from benchmarks.common import memory, processes

# Size, tokens of a document, documents a batch.
CASES = [("tiny", 4096, 16), ("small", 4096, 4), ("small", 16384, 1)]
STEPS = 3
VOCABULARY_SIZE = 8000


def measure(size, length, batch_size, remat, steps=STEPS):
    """Returns `{"bytes": ..., "seconds": ...}` of a training step, in a process of its own.

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
    before = memory.restart_peak()
    started = None
    for _ in range(steps):
        model.train_on_batch(token_ids, targets)
        started = started or time.process_time()
    seconds = (time.process_time() - started) / (steps - 1)
    return {"bytes": memory.peak_bytes() - before, "seconds": seconds}


def measured_apart(*arguments):
    """Calls `measure` in a process of its own."""
    with processes.worker(processes.use_one_core) as executor:
        return executor.submit(measure, *arguments).result()
