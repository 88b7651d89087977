"""The metadata of a .tflite file: what its reader must know to answer as the model does."""

import json
import zlib

import keras
from ai_edge_litert import schema_py_generated as schema

from keras_combiner.batches.windows import OVERLAP
from keras_combiner.export.tflite_editors.flatbuffer import add_buffer, read_model, write_model

NAME = "keras_combiner"
# A vocabulary is too long for the metadata: readers of the file have vocab.txt.
_PLAIN = (str, bool, int, float, type(None))


def add_metadata(content, value):
    """Adds an entry "keras_combiner" to the metadata of a .tflite file.

    Args:
        content: bytes of the file.
        value: dict that JSON can hold.

    Returns:
        bytes of the file, whose entry is JSON in ASCII.
    """
    model = read_model(content)
    buffer = add_buffer(model, json.dumps(value).encode("ascii"))
    entry = schema.MetadataT(name=NAME, buffer=buffer)
    model.metadata = [*(model.metadata or []), entry]
    return write_model(model)


def metadata_of(classifier, lengths):
    """Returns what a file's reader must know besides its signatures.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`.
        lengths: list of int, those of the signatures.

    Returns:
        dict: "task" (dict with "name"), "labels" (list of str), "long_texts" ("truncate" or
        "windows"), "sequence_length" (int, of the model), "sequence_lengths" (list of int),
        "tokenizer" (dict, see `tokenizer_of`) and, with windows, "overlap" (float, the share of a
        window's tokens, rounded down, that neighboring windows share at least).
    """
    value = {
        "task": classifier.task.get_config(),
        "labels": classifier.labels,
        "long_texts": classifier.long_texts,
        "sequence_length": classifier.sequence_length,
        "sequence_lengths": list(lengths),
        "tokenizer": tokenizer_of(classifier.tokenizer),
    }
    return {**value, "overlap": OVERLAP} if classifier.long_texts == "windows" else value


def tokenizer_of(tokenizer):
    """Returns which tokenizer makes the token ids that a file takes.

    Args:
        tokenizer: `keras_combiner.text.Tokenizer`.

    Returns:
        dict: "registered_name" (str, the class as Keras names it), "config" (dict of the plain
        values of its `get_config`) and, with a vocabulary, "vocabulary_size" (int) and
        "vocabulary_crc32" (int, of the content of vocab.txt).

    Example:

    >>> from keras_combiner.text import ByteTokenizer
    >>> tokenizer_of(ByteTokenizer())
    {'registered_name': 'keras_combiner>ByteTokenizer', 'config': {}}
    """
    value = {
        "registered_name": keras.saving.get_registered_name(type(tokenizer)),
        "config": {k: v for k, v in tokenizer.get_config().items() if isinstance(v, _PLAIN)},
    }
    vocabulary = getattr(tokenizer, "vocabulary", None)
    if vocabulary is None:
        return value
    content = "".join(f"{token}\n" for token in vocabulary).encode()
    return {
        **value,
        "vocabulary_size": len(vocabulary),
        "vocabulary_crc32": zlib.crc32(content),
    }
