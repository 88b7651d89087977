"""A whole classifier of 4,096 tokens in LiteRT, with Combiner's attention and with Keras's own."""

import functools
import time

from benchmarks.common import processes, timing
from benchmarks.quality import training
from benchmarks.quality.rows import DEFAULT as COMBINER
from benchmarks.quality.rows import FULL
from benchmarks.quality.settings import SETTINGS as QUALITY

# What Keras's own attention costs at least: every token of padding is attended to.
FULL_WITHOUT_MASK = "full attention, no mask"
SETTINGS = {
    "length": 4096,
    "tokens": 3700,  # in the document that is timed; the rest is padding
    "num_layers": 2,
    "num_heads": 4,
    "hidden_dim": 256,
    "intermediate_dim": 1024,
    "vocabulary_size": 8000,
    "classes": 10,
    "quantization": "dynamic_int8",
    "threads": 2,
    "warm_up": 1,
    "repeats": 7,
}


def figures(settings=SETTINGS):
    """Returns median seconds of one document, and bytes, of three classifiers that take turns.

    They are one transformer with other attention, untrained: `quality.training.classifier`.

    Args:
        settings: dict, see `SETTINGS`.

    Returns:
        Dictionary: "seconds" and "size", each by `COMBINER`, `FULL` and `FULL_WITHOUT_MASK`.
    """
    # In a process of its own, which then gives back the memory that full attention takes.
    with processes.worker() as executor:
        return executor.submit(_figures, settings).result()


def _figures(settings):
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    ids = np.zeros((1, settings["length"]), "int32")
    ids[0, : settings["tokens"]] = np.random.default_rng(0).integers(
        1, settings["vocabulary_size"], settings["tokens"]
    )
    sizes, runs = {}, {}
    for row in (COMBINER, FULL, FULL_WITHOUT_MASK):
        content = _content(row, settings)
        interpreter = Interpreter(model_content=content, num_threads=settings["threads"])
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], ids)
        sizes[row], runs[row] = len(content), functools.partial(_seconds, interpreter)
    return {"seconds": timing.take_turns(runs, settings), "size": sizes}


def _seconds(interpreter):
    started = time.perf_counter()
    interpreter.invoke()
    return time.perf_counter() - started


def _content(row, settings):
    """Returns the bytes of a .tflite file, made by the road of `export_litert`."""
    import keras

    from keras_combiner.export.litert_conversion import convert
    from keras_combiner.layers import TokenAndPositionEmbedding

    keras.utils.set_random_seed(0)
    model = training.classifier(
        row,
        "long",
        {
            **QUALITY,
            **settings,
            "datasets": {"long": {"length": settings["length"], "token_dropout": 0.0}},
        },
        settings["vocabulary_size"],
        settings["classes"],
        _attention_of,
    )
    (embedding,) = (x for x in model.layers if isinstance(x, TokenAndPositionEmbedding))

    def call(token_ids):
        return {"probabilities": model(token_ids, training=False)}

    return convert(call, embedding, settings["quantization"], [settings["length"]])


def _attention_of(row, layer, settings):
    import keras

    class WithoutMask(keras.layers.MultiHeadAttention):
        def _compute_attention_mask(self, *_, **__):
            return None

    attention = training.attention_of(FULL if row == FULL_WITHOUT_MASK else row, layer, settings)
    if row == FULL_WITHOUT_MASK:
        return WithoutMask.from_config(attention.get_config())
    return attention
