"""Windows of long documents, for a .tflite file whose model was trained to read in windows.

No TensorFlow and no keras_combiner: ai-edge-litert, which reads the file's metadata, and numpy.
"""

import json

import numpy as np

METADATA_NAME = b"keras_combiner"
# As in training: a probability has a logarithm.
LEAST_PROBABILITY = 1e-7


def read_metadata(content):
    """Reads what a .tflite file says of its model.

    Args:
        content: bytes of the file.

    Returns:
        dict: "task" (dict with "name"), "labels", "long_texts" ("truncate" or "windows"),
        "sequence_lengths", "tokenizer" (dict) and, with windows, "overlap"; empty for a file
        without such an entry.
    """
    from ai_edge_litert.schema_py_generated import Model

    model = Model.GetRootAs(content, 0)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == METADATA_NAME:
            return json.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    return {}


def split_tokens(tokens, room, overlap):
    """Covers a document with as few overlapping windows as it takes, evenly spaced.

    Args:
        tokens: list of int, without start and end token.
        room: int, the most tokens of a window.
        overlap: float, the share of `room` that neighbours have in common at least.

    Returns:
        list of lists of int; of the document itself if it fits.
    """
    if len(tokens) <= room:
        return [tokens]
    shared = int(room * overlap)
    count = -(-(len(tokens) - shared) // (room - shared))
    starts = [i * (len(tokens) - room) // (count - 1) for i in range(count)]
    return [tokens[start : start + room] for start in starts]


def pool(probabilities, task):
    """Makes one answer of those of a document's windows: that of the mean logits.

    Args:
        probabilities: float array [windows, labels].
        task: "single_label" or "multi_label".

    Returns:
        np.ndarray float32 [labels]. A single window's answer is left as it is.
    """
    if len(probabilities) == 1:
        return probabilities[0]
    probabilities = np.asarray(probabilities, "float32")
    logits = _log(probabilities)
    if task == "multi_label":
        logits = (logits - _log(1 - probabilities)).mean(0)
        return (1 / (1 + np.exp(-logits))).astype("float32")
    logits = (logits - logits.mean(-1, keepdims=True)).mean(0)
    shares = np.exp(logits - logits.max())
    return (shares / shares.sum()).astype("float32")


def _log(x):
    return np.log(np.maximum(x.astype("float64"), LEAST_PROBABILITY))
