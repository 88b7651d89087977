"""A model as the bytes of a .tflite file: converted, edited, quantized."""

import re
import tempfile

import keras
import tensorflow as tf

from keras_combiner.export.endpoints import add_endpoint
from keras_combiner.export.quantization import quantize
from keras_combiner.export.runners import quiet
from keras_combiner.export.tflite_editors.embedding_lookup import use_embedding_lookup
from keras_combiner.export.tflite_editors.signatures import set_default_signature

DEFAULT_SIGNATURE = "serving_default"


def convert(call, embedding, quantization, lengths, token_ids=None, learns_ranges=False):
    """Converts by way of a SavedModel, which keeps weights and the names of signatures.

    Args:
        call: function of token ids, int32 `[batch, length]`, that returns a dictionary of outputs.
        embedding: the model's `keras_combiner.layers.TokenAndPositionEmbedding`.
        quantization: str, one of `QUANTIZATIONS`.
        lengths: list of int, the lengths of the signatures, the longest first.
        token_ids: dictionary, length -> int32 array `[documents, length]` to calibrate on, for the
            kinds in `CALIBRATED`.
        learns_ranges: bool, whether the model learned the ranges of activations in training.

    Returns:
        bytes of a .tflite file.

    Raises:
        RuntimeError: if the model needs ops that are not built in.
    """

    archive = keras.export.ExportArchive()
    length_of = {DEFAULT_SIGNATURE: lengths[0], **{_signature(x): x for x in lengths[1:]}}
    for signature, length in length_of.items():
        spec = tf.TensorSpec([1, length], tf.int32, name="token_ids")
        add_endpoint(archive, signature, call, spec)
    with tempfile.TemporaryDirectory() as directory, quiet():
        archive.write_out(directory, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            directory, signature_keys=list(length_of)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            content = converter.convert()
        except Exception as error:
            raise RuntimeError(_explain(error)) from error
        positions = embedding.position_embeddings
        if positions is not None:
            positions = keras.ops.convert_to_numpy(positions)
        content = use_embedding_lookup(content, positions)
        by_signature = {x: token_ids[y] for x, y in length_of.items() if token_ids}
        content = quantize(content, quantization, by_signature, learns_ranges)
    if len(lengths) > 1:
        content = set_default_signature(content, DEFAULT_SIGNATURE, _signature(lengths[0]))
    return content


def _signature(length):
    return f"serving_{length}"


def _explain(error):
    ops = sorted(set(re.findall(r"\b(?:tf|Flex|Custom)\.?(\w+) op\b|'tf\.(\w+)'", str(error))))
    names = ", ".join(sorted({name for pair in ops for name in pair if name}))
    if names:
        return f"LiteRT has no built-in op for: {names}. Nothing was written."
    return f"LiteRT's converter failed; nothing was written. It said: {error}"
