"""A classifier as a .tflite file for LiteRT: phones, browsers, boards."""

import contextlib
import itertools
import re
import tempfile

import keras
import numpy as np
import tensorflow as tf

from keras_combiner.atomic_files import atomic_write, refuse_existing
from keras_combiner.batches.text_inputs import as_texts
from keras_combiner.batches.windows import split_into_windows
from keras_combiner.export import dtypes, litert_text, runners, verification
from keras_combiner.export.quantization import (
    CALIBRATED,
    QUANTIZATIONS,
    import_quantizer,
    quantize,
)
from keras_combiner.export.quiet import quiet
from keras_combiner.export.saved_model import require_tensorflow_backend
from keras_combiner.text.tokenizer import MIN_SEQUENCE_LENGTH, as_bytes

TAKES = ("token_ids", "text")
DEFAULT_SIGNATURE = "serving_default"


def export_litert(
    classifier,
    path,
    quantization="float32",
    calibration_data=None,
    sequence_lengths=None,
    takes="token_ids",
    documents=None,
    labels=None,
    max_accuracy_drop=None,
    measure=False,
    overwrite=False,
    verbose=True,
):
    """Writes a .tflite file, reads it back and compares it with the model.

    A model of another precision is written in float32 and what `quantization` makes of that.

    A file cannot read more than its longest input. How longer documents are to be read stands in
    its metadata, in an entry "keras_combiner" of JSON: "long", "cut" or "windows", as the
    model does it, "overlap" of the windows, and "task", "labels", "sequence_lengths",
    "sequence_length", the model's own, and "tokenizer", its class, its rules and a checksum of
    vocab.txt. examples/on_device and examples/web read them and answer as `classify` does, where
    the longest of the lengths is the model's, or refuse the file. A file without that length
    cuts documents earlier; for a model that reads windows it is refused, whose answers would be
    those of other windows.

    The file takes `token_ids`, int32 `[1, length]` with 0 for padding, and gives `probabilities`,
    float32 `[1, classes]`; or `value`, float32 `[1, 1]`, if the model's task is regression. It
    holds built-in ops only, so that every LiteRT runtime loads it. Its signature `serving_default`
    takes the longest documents; those of several lengths have signatures like `serving_512`
    besides, over the same weights, so that a short document need not pay for a long one. The
    runtime refuses ids beyond the model's vocabulary: they are out of the table's bounds.

    Kinds, in all of which the embedding tables are as short as the other weights:

    - "float32".
    - "float16": half the size; computes in float32.
    - "dynamic_int8": a quarter of the size. Products with weights are of integers, whose range is
      found anew in every run; activations are float32.
    - "int8": a quarter of the size. Matrix products, those of attention too, and GELU are of
      integers whose ranges are found in `calibration_data`; softmax, layer normalization, pooling
      and the values of a regression are float32. For accelerators of integers; on a CPU
      "dynamic_int8" is faster.
    - "int4": an eighth of the size, and 12 bytes for every row of a weight and every length;
      computes like "dynamic_int8".
    - "int16x8": like "int8", but with activations of 16 bits: nearly the accuracy of float32. CPUs
      have no fast kernels for it.

    With `takes="text"` it takes `text`, string `[1]`, in any length, and holds the tokenizer too.
    It also gives `token_ids`, int32 `[1, sequence_length]`, what it made of the text, and
    `num_tokens`, int32 `[1]`, how many there would be if nothing were cut. A runtime needs the
    operations of tensorflow-text for it. Such a file cuts, and so is refused to a model that reads
    windows.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`.
        path: str or path of the file to make, ending in ".tflite".
        quantization: str, one of the kinds above.
        calibration_data: list of str, texts like those to come, for "int8" and "int16x8"; a
            hundred will do. Each of them is run once for every length. None for what
            `keras_combiner.optimization.quantization_aware` made, which is for "int8" only.
        sequence_lengths: list of int, the lengths of the signatures, none of them above the
            model's `sequence_length`, which is the only one if None.
        takes: "token_ids", or "text" for a file of one length.
        documents: list of str for the comparison; texts that ship with the package if None.
        labels: list of labels, one a document, for the accuracy of both; None for none.
        max_accuracy_drop: float, by how much the accuracy on `documents` may be less than the
            model's, or nothing is written; None for any.
        measure: bool, whether to measure latency and memory, in processes of their own; takes a
            few seconds.
        overwrite: bool, whether an existing file may be replaced.
        verbose: bool, whether to print the report.

    Returns:
        `ExportReport`.

    Raises:
        ImportError: if ai-edge-litert or ai-edge-quantizer is missing (extra "litert"), or
            tensorflow-text (extra "text") for a file that takes text.
        FileExistsError: if `path` exists and `overwrite` is false.
        ValueError: for a model that `quantize` of Keras has changed, an unknown quantization,
            `calibration_data` that is missing or of no use, lengths that the model does not have, a
            path without the ending, labels and documents that do not go together, a vocabulary that
            a .tflite file cannot serve, or `takes="text"` of a classifier that reads windows.
        RuntimeError: if the model needs ops that are not built in (they are named), Keras runs on
            another backend than TensorFlow, or the export gives values that are not finite, other
            token ids than the tokenizer, or loses more accuracy than it may. Nothing is written
            then.

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
    if takes not in TAKES:
        raise ValueError(
            f"`takes` must be one of {', '.join(map(repr, TAKES))}. Received: {takes!r}."
        )
    if not str(path).endswith(".tflite"):
        raise ValueError(f"A LiteRT file ends in .tflite. Received: {path}.")
    dtypes.refuse_quantized(
        classifier, "export it with quantization='dynamic_int8' or another kind"
    )
    if classifier.learns_ranges and quantization != "int8":
        raise ValueError(
            "A quantization-aware classifier is for 'int8'; for other kinds export what its "
            f"`without_quantization()` gives. Received: {quantization!r}."
        )
    if takes == "text" and classifier.long == "windows":
        raise ValueError(
            "A file that takes text cuts it inside, while this classifier reads long documents in "
            "windows (long='windows'): it would answer otherwise than it was evaluated. Export "
            "with takes='token_ids', and read windows as examples/on_device does, or set "
            "`classifier.long = 'cut'` to have documents cut."
        )
    calibration_data = _checked_calibration_data(
        calibration_data, quantization, classifier.learns_ranges
    )
    lengths = _checked_lengths(sequence_lengths, classifier, takes)
    refuse_existing(path, overwrite)
    require_tensorflow_backend()
    runners.import_litert(takes)  # says what is missing before the work, not after
    from keras_combiner.export.file_metadata import add_metadata, metadata_of

    if quantization != "float32":
        import_quantizer()
    documents, class_ids = verification.checked_held_out(
        classifier, documents, labels, max_accuracy_drop
    )
    content = _convert(dtypes.in_float32(classifier), quantization, calibration_data, lengths)
    token_ids, windows = zip(*(_inputs(classifier, documents, x) for x in lengths), strict=True)
    inputs = token_ids
    if takes == "text":
        inputs = [[as_bytes(x, i) for i, x in enumerate(documents)]]
        with quiet():
            content = litert_text.put_in_front(
                content, classifier.tokenizer, inputs[0], token_ids[0]
            )
    content = add_metadata(content, metadata_of(classifier, lengths))
    with atomic_write(path, overwrite) as unfinished:
        unfinished.write_bytes(content)
        received, expected = (
            np.concatenate([classifier.pooled(*x) for x in zip(outputs, windows, strict=True)])
            for outputs in (
                [run_litert(unfinished, x)[0] for x in inputs],
                [classifier.predict(x, verbose=0) for x in token_ids],
            )
        )
        if class_ids is not None:
            class_ids = np.concatenate([class_ids] * len(lengths))
        report = verification.compare(
            path,
            len(content),
            expected,
            received,
            class_ids,
            max_accuracy_drop,
            task=classifier.task,
        )
        if measure:
            report = verification.measured(report, takes, unfinished, inputs[0])
    if verbose:
        print(report)
    return report


def _inputs(classifier, documents, length):
    """What is run for documents at a length: token ids `[windows, length]`, and windows of each."""
    if classifier.long == "cut":
        return classifier.tokenizer(documents, length).numpy(), np.ones(len(documents), "int64")
    rows = classifier.tokenizer.encode(documents)
    windows = [split_into_windows(row.numpy(), length) for row in rows]
    token_ids = np.zeros([sum(map(len, windows)), length], "int32")
    for padded, ids in zip(token_ids, itertools.chain(*windows), strict=True):
        padded[: len(ids)] = ids
    return token_ids, np.array([len(x) for x in windows])


def _checked_calibration_data(calibration_data, quantization, learns_ranges):
    if learns_ranges and calibration_data is not None:
        raise ValueError(
            "A quantization-aware classifier has learned the ranges of its activations in "
            "training: leave `calibration_data` out."
        )
    if learns_ranges:
        return []
    if quantization not in CALIBRATED:
        if calibration_data is not None:
            raise ValueError(
                f"`calibration_data` is for {' and '.join(map(repr, CALIBRATED))}; "
                f"{quantization!r} has no use for it."
            )
        return []
    texts = [] if calibration_data is None else as_texts(calibration_data, "calibration texts")
    if not texts:
        raise ValueError(
            f"{quantization!r} needs `calibration_data`: a list of texts like those to come, from "
            "which it learns how large activations get, or, for 'int8', a classifier that "
            "keras_combiner.optimization.quantization_aware has made. Received: "
            f"{calibration_data!r}."
        )
    if all(isinstance(x, str | bytes) and not x.strip() for x in texts):
        raise ValueError(
            "`calibration_data` must be texts like those to come; nothing is learned from blank "
            f"ones. Received: {len(texts)} texts, all of them blank."
        )
    return texts


def _checked_lengths(sequence_lengths, classifier, takes):
    """The lengths of the signatures, the longest first."""
    longest = classifier.sequence_length
    if sequence_lengths is None:
        return [longest]
    try:
        lengths = list(sequence_lengths)
    except TypeError:
        lengths = []
    are_valid = all(isinstance(x, int) and MIN_SEQUENCE_LENGTH <= x <= longest for x in lengths)
    if not lengths or not are_valid or len(set(lengths)) < len(lengths):
        raise ValueError(
            f"`sequence_lengths` must be different ints from {MIN_SEQUENCE_LENGTH} to {longest}, "
            f"the model's sequence_length. Received: {sequence_lengths!r}."
        )
    if classifier.long == "windows" and max(lengths) < longest:
        raise ValueError(
            f"The model reads windows of {longest} tokens (long='windows'), and shorter ones would "
            f"answer otherwise than it was evaluated: add {longest} to `sequence_lengths`. "
            f"Received: {sequence_lengths!r}."
        )
    if classifier.backbone.arguments["static_length"] and lengths != [longest]:
        raise ValueError(
            f"The model takes documents of one length only, {longest} tokens (static_length=True): "
            f"leave `sequence_lengths` out. Received: {sequence_lengths!r}."
        )
    if takes == "text" and len(lengths) > 1:
        raise ValueError(
            "A file that takes text has one length: what fits is known only once the text is made "
            f"into ids. Name one in `sequence_lengths`. Received: {sequence_lengths!r}."
        )
    return sorted(lengths, reverse=True)


def _convert(classifier, quantization, calibration_data, lengths):
    token_ids = {
        length: classifier.tokenizer(calibration_data, length).numpy()
        for length in lengths
        if calibration_data
    }

    def call(token_ids):
        # The quantizer rounds weights by itself.
        learns = classifier.learns_ranges
        with classifier.weights_in_float() if learns else contextlib.nullcontext():
            return {classifier.task.output: classifier(token_ids, training=False)}

    embedding = classifier.backbone.embedding
    return convert(
        call, embedding, quantization, lengths, token_ids, learns_ranges=classifier.learns_ranges
    )


def convert(call, embedding, quantization, lengths, token_ids=None, learns_ranges=False):
    """Converts by way of a SavedModel: the road that keeps weights and signature names.

    Args:
        call: function of token ids, int32 `[batch, length]`, that returns a dictionary of outputs.
        embedding: the model's `keras_combiner.layers.TokenAndPositionEmbedding`.
        quantization: str, one of `QUANTIZATIONS`.
        lengths: list of int, the lengths of the signatures, the longest first.
        token_ids: dictionary, length -> int32 array `[documents, length]` to calibrate on, for the
            kinds in `CALIBRATED`.
        learns_ranges: bool, whether the model learned in training what they would tell.

    Returns:
        bytes of a .tflite file.

    Raises:
        RuntimeError: if the model needs ops that are not built in.
    """
    from keras_combiner.export.lookup_tables import read_by_lookup
    from keras_combiner.export.signatures import put_first

    def serve(token_ids):
        return call(token_ids)

    archive = keras.export.ExportArchive()
    length_of = {DEFAULT_SIGNATURE: lengths[0], **{_signature(x): x for x in lengths[1:]}}
    for signature, length in length_of.items():
        spec = tf.TensorSpec([1, length], tf.int32, name="token_ids")
        archive.add_endpoint(signature, serve, input_signature=[spec])
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
        positions = keras.ops.convert_to_numpy(embedding.position_embeddings)
        content = read_by_lookup(content, positions)
        by_signature = {x: token_ids[y] for x, y in length_of.items() if token_ids}
        content = quantize(content, quantization, by_signature, learns_ranges)
    if len(lengths) > 1:
        content = put_first(content, DEFAULT_SIGNATURE, _signature(lengths[0]))
    return content


def _signature(length):
    return f"serving_{length}"


def _explain(error):
    ops = sorted(set(re.findall(r"\b(?:tf|Flex|Custom)\.?(\w+) op\b|'tf\.(\w+)'", str(error))))
    names = ", ".join(sorted({name for pair in ops for name in pair if name}))
    if names:
        return f"LiteRT has no built-in op for: {names}. Nothing was written."
    return f"LiteRT's converter failed; nothing was written. It said: {error}"


def run_litert(path, documents, num_threads=1):
    """Runs a .tflite file that `export_litert` wrote on documents, one after the other.

    Args:
        path: str or path of the file.
        documents: int32 array `[documents, length]`, of a length that the file has; or, if the
            file takes text, list of str or bytes.
        num_threads: int, threads of the interpreter.

    Returns:
        `(probabilities, seconds)`: float32 `[documents, classes]`, or the values `[documents, 1]`
        of a regression, and float `[documents]`, the time that each took.

    Raises:
        ImportError: if ai-edge-litert is missing (extra "litert"), or tensorflow-text (extra
            "text") for a file that takes text.
        ValueError: if the file takes documents of other lengths.
    """
    takes = "token_ids" if hasattr(documents, "shape") else "text"
    if takes == "text":
        documents = [as_bytes(x, i) for i, x in enumerate(documents)]
    with quiet():
        run = runners.load_litert(path, takes, num_threads)
    return runners.run_each(run, documents)
