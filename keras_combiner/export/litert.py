"""A classifier as a .tflite file for LiteRT: phones, browsers, boards."""

import contextlib
import os
import re
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

from keras_combiner.export import verification
from keras_combiner.export.saved_model import require_tensorflow_backend
from keras_combiner.whole_files import refuse_existing, written_whole

QUANTIZATIONS = ("float32", "float16", "dynamic_int8")


def export_litert(
    classifier, path, quantization="float32", documents=None, overwrite=False, verbose=True
):
    """Writes a .tflite file, reads it back and compares it with the model.

    The file takes `token_ids`, int32 `[1, sequence_length]` with 0 for padding, and gives
    `probabilities`, float32 `[1, classes]`. It holds built-in ops only, so that every LiteRT
    runtime loads it.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`.
        path: str or path of the file to make, ending in ".tflite".
        quantization: "float32"; "float16" (weights in half the size); or "dynamic_int8" (weights
            in a quarter of the size, integer matrix products, activations in float32).
        documents: list of str for the comparison; texts that ship with the package if None.
        overwrite: bool, whether an existing file may be replaced.
        verbose: bool, whether to print the report.

    Returns:
        `ExportReport`.

    Raises:
        ImportError: if ai-edge-litert is missing (extra "litert").
        FileExistsError: if `path` exists and `overwrite` is false.
        ValueError: for an unknown quantization, or a path without the ending.
        RuntimeError: if the model needs ops that are not built in (they are named), or Keras runs
            on another backend than TensorFlow. Nothing is written then.

    Example:

    >>> import tempfile
    >>> from keras_combiner import LongDocumentClassifier
    >>> classifier = LongDocumentClassifier.from_texts(
    ...     ["a b", "c d"], ["x", "y"], sequence_length=128, tokenizer="bytes"
    ... )
    >>> path = tempfile.mkdtemp() + "/model.tflite"
    >>> report = export_litert(classifier, path, quantization="float16", verbose=False)
    >>> report.agreement
    1.0
    """
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"`quantization` must be one of {', '.join(map(repr, QUANTIZATIONS))}. "
            f"Received: {quantization!r}."
        )
    if not str(path).endswith(".tflite"):
        raise ValueError(f"A LiteRT file ends in .tflite. Received: {path}.")
    refuse_existing(path, overwrite)
    require_tensorflow_backend()
    _interpreter_class()  # says what is missing before the work, not after
    documents = verification.checked_documents(documents)
    content = _convert(classifier, quantization)
    with written_whole(path, overwrite) as unfinished:
        unfinished.write_bytes(content)
        token_ids = classifier.tokenizer(documents, classifier.sequence_length).numpy()
        received, _ = run_litert(unfinished, token_ids)
        expected = classifier.predict(token_ids, verbose=0)
        report = verification.compare(path, len(content), expected, received)
    if verbose:
        print(report)
    return report


def _interpreter_class():
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError(
            "A LiteRT export is checked with ai-edge-litert: pip install 'keras_combiner[litert]'."
        ) from error
    return Interpreter


def _convert(classifier, quantization):
    """Converts by way of a SavedModel: the road that keeps weights and signature names."""
    spec = tf.TensorSpec([1, classifier.sequence_length], tf.int32, name="token_ids")

    def serve(token_ids):
        return {"probabilities": classifier(token_ids, training=False)}

    archive = keras.export.ExportArchive()
    archive.add_endpoint("serving_default", serve, input_signature=[spec])
    with tempfile.TemporaryDirectory() as directory, quiet():
        archive.write_out(directory, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            directory, signature_keys=["serving_default"]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if quantization != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantization == "float16":
            converter.target_spec.supported_types = [tf.float16]
        try:
            return converter.convert()
        except Exception as error:
            raise RuntimeError(_explain(error)) from error


def _explain(error):
    ops = sorted(set(re.findall(r"\b(?:tf|Flex|Custom)\.?(\w+) op\b|'tf\.(\w+)'", str(error))))
    names = ", ".join(sorted({name for pair in ops for name in pair if name}))
    if names:
        return f"LiteRT has no built-in op for: {names}. Nothing was written."
    return f"LiteRT's converter failed; nothing was written. It said: {error}"


@contextlib.contextmanager
def quiet():
    """Keeps C++ progress notes, which nobody can act on, off the terminal."""
    with open(os.devnull, "w") as devnull:
        saved = os.dup(2)
        os.dup2(devnull.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def run_litert(path, token_ids, num_threads=1):
    """Runs a .tflite file that `export_litert` wrote on documents, one after the other.

    Args:
        path: str or path of the file.
        token_ids: int32 array `[documents, sequence_length]`.
        num_threads: int, threads of the interpreter.

    Returns:
        `(probabilities, seconds)`: float32 `[documents, classes]`, and float `[documents]`, the
        time that each took.

    Raises:
        ImportError: if ai-edge-litert is missing (extra "litert").
    """
    with quiet():
        interpreter = _interpreter_class()(model_path=str(path), num_threads=num_threads)
        runner = interpreter.get_signature_runner("serving_default")
    probabilities, seconds = [], []
    for row in token_ids:
        start = time.perf_counter()
        outputs = runner(token_ids=row[np.newaxis])
        seconds.append(time.perf_counter() - start)
        probabilities.append(outputs["probabilities"])
    return np.concatenate(probabilities), np.array(seconds)
