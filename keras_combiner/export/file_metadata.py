"""What a .tflite file says of itself to whoever runs it."""

import json

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from keras_combiner.text.windows import OVERLAP

NAME = "keras_combiner"


def add_metadata(content, value):
    """Adds an entry "keras_combiner" to the metadata of a .tflite file.

    Args:
        content: bytes of the file.
        value: what JSON can hold.

    Returns:
        bytes of the file, whose entry is JSON in ASCII.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    data = json.dumps(value).encode("ascii")
    buffer = schema.BufferT()
    buffer.data = list(data)
    entry = schema.MetadataT()
    entry.name, entry.buffer = NAME, len(model.buffers)
    model.buffers = [*model.buffers, buffer]
    model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def metadata_of(classifier, lengths):
    """Says what is to be known to use a file, besides its signatures.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`.
        lengths: list of int, those of the signatures.

    Returns:
        dict: "task" (dict with "name"), "labels" (list of str), "long" ("cut" or "windows"),
        "sequence_length" (int, of the model), "sequence_lengths" (list of int) and, with windows,
        "overlap" (float, the share of a window's room, rounded down, that neighbours share at
        least).
    """
    value = {
        "task": classifier.task.get_config(),
        "labels": classifier.labels,
        "long": classifier.long,
        "sequence_length": classifier.sequence_length,
        "sequence_lengths": list(lengths),
    }
    return {**value, "overlap": OVERLAP} if classifier.long == "windows" else value
