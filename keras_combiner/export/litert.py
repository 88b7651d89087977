"""A classifier as a .tflite file for LiteRT: phones, browsers, boards."""

import contextlib
import functools
import itertools

import numpy as np

from keras_combiner.batches.text_inputs import as_texts
from keras_combiner.batches.windows import split_into_windows
from keras_combiner.export import runners
from keras_combiner.export.checked_export import (
    Candidate,
    ExportOptions,
    checked_export,
    in_float32,
    refuse_quantized,
)
from keras_combiner.export.quantization import CALIBRATED, QUANTIZATIONS, import_quantizer
from keras_combiner.export.runners import quiet
from keras_combiner.text.tokenizer import MIN_SEQUENCE_LENGTH, as_bytes

INPUT_TYPES = ("token_ids", "text")


def export_litert(
    classifier,
    path,
    quantization="float32",
    calibration_data=None,
    sequence_lengths=None,
    input_type="token_ids",
    documents=None,
    labels=None,
    max_accuracy_drop=None,
    measure=False,
    overwrite=False,
    verbose=True,
):
    """Writes a .tflite file, reads it back and compares it with the model.

    The file takes `token_ids`, int32 `[1, length]` with 0 for padding, and returns
    `probabilities`, float32 `[1, classes]`; or `value`, float32 `[1, 1]`, if the task is
    regression; or `embedding`, float32 `[1, dim]`, of an embedder. It holds built-in ops only, so
    every LiteRT runtime loads it. Its signature `serving_default` takes the longest documents. A
    file of several lengths also has a signature for each, such as `serving_512`, over the same
    weights: a short document need not pay for a long one. The runtime refuses ids that the
    vocabulary does not have: they are out of the bounds of the embedding table.

    Kinds; all of them store the embedding tables with as many bits as the other weights (the table
    of `lexical=True` with 8 in "int4"), and the queries of `pooling="label"` in float32:

    - "float32".
    - "float16": half the size; computes in float32.
    - "dynamic_int8": a quarter of the size. Products with weights are computed in integers, whose
      ranges are found in every run; activations are float32.
    - "int8": a quarter of the size. All matrix products, those of attention too, and GELU are
      computed in integers, whose ranges are found in `calibration_data`; softmax, layer
      normalization, pooling, sums over the bag of tokens, the last layer after `pooling="label"`
      and the values of a regression are float32. For integer accelerators; on a CPU
      "dynamic_int8" is faster.
    - "int4": an eighth of the size, and 12 bytes for every row of a weight and every length;
      computes like "dynamic_int8".
    - "int16x8": like "int8", but with activations of 16 bits: nearly the accuracy of float32. CPUs
      have no fast kernels for it.

    A file reads no more than its longest input. Its metadata says how to read longer documents, in
    an entry "keras_combiner" of JSON: "long_texts" ("truncate" or "windows", as the model does),
    "overlap" of the windows, "task", "labels", "sequence_lengths", "sequence_length" (the model's
    own) and "tokenizer" (its class, its rules and a checksum of vocab.txt). examples/on_device and
    examples/web read it and answer as `classify` does, or refuse the file. A file whose longest
    input is shorter than the model's cuts documents earlier; for a model that reads windows it is
    refused, because other windows have other answers.

    With `input_type="text"` the file holds the tokenizer too and takes `text`, string `[1]`, of any
    length. It also returns `token_ids`, int32 `[1, sequence_length]`, and `num_tokens`, int32
    `[1]`, the number of tokens before the text is cut. Its runtime needs the operations of
    tensorflow-text. Such a file cuts long texts, so a model that reads windows is refused.

    A model of another precision is converted to float32 first.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier` or `LongDocumentEmbedder`.
        path: str or path of the file to make, ending in ".tflite".
        quantization: str, one of the kinds above.
        calibration_data: list of str, texts like those to come, for "int8" and "int16x8"; a
            hundred are enough. Each is run once for every length. None for a quantization-aware
            classifier, which can be exported as "int8" only.
        sequence_lengths: list of int, the lengths of the signatures, at most the model's
            `sequence_length`; that one alone if None.
        input_type: "token_ids", or "text" for a file of one length.
        documents: list of str to compare on; texts that ship with the package if None.
        labels: list of labels, one a document, to report the accuracy of both; optional, and not
            for an embedder.
        max_accuracy_drop: float, by how much the accuracy on `documents` may be below the model's;
            if it is lower, nothing is written. None for no limit.
        measure: bool, whether to measure latency and memory, in processes of their own.
        overwrite: bool, whether an existing export may be replaced.
        verbose: bool, whether to print the report.

    Returns:
        `ExportReport`.

    Raises:
        ImportError: if ai-edge-litert or ai-edge-quantizer is missing (extra "litert"), or
            tensorflow-text (extra "text") for a file that takes text.
        FileExistsError: if `path` exists and `overwrite` is false.
        ValueError: for a model that `quantize` of Keras has changed, an unknown quantization,
            `calibration_data` that is missing or not used, lengths that the model cannot read, a
            path without the ending, labels and documents that do not go together, a vocabulary that
            a .tflite file cannot serve, or `input_type="text"` of a classifier that reads windows.
        RuntimeError: if the model needs ops that are not built in (they are named), Keras runs on
            another backend than TensorFlow, or the export returns values that are not finite, other
            token ids than the tokenizer, or loses more accuracy than it may. Nothing is written
            then.

    Example:

    >>> import tempfile
    >>> from keras_combiner import LongDocumentClassifier
    >>> classifier = LongDocumentClassifier.from_texts(
    ...     ["a b", "c d"], ["x", "y"], sequence_length=128, tokenizer="bytes", num_layers=1
    ... )
    >>> path = tempfile.mkdtemp() + "/model.tflite"
    >>> report = export_litert(classifier, path, quantization="float16", verbose=False)
    >>> report.agreement
    1.0
    """
    options = ExportOptions(documents, labels, max_accuracy_drop, measure, overwrite, verbose)
    _check_kind(classifier, path, quantization, input_type)
    calibration_data = _checked_calibration_data(
        calibration_data, quantization, classifier.learns_ranges
    )
    lengths = _checked_lengths(sequence_lengths, classifier, input_type)
    require = [functools.partial(runners.import_litert, input_type)]
    if quantization != "float32":
        require.append(import_quantizer)
    prepare = functools.partial(
        _candidate, classifier, quantization, calibration_data, lengths, input_type
    )
    return checked_export(classifier, path, prepare, options, require)


def _candidate(classifier, quantization, calibration_data, lengths, input_type, documents):
    from keras_combiner.export.tflite_editors.metadata import add_metadata, metadata_of
    from keras_combiner.export.tflite_editors.tokenizer import prepend_tokenizer

    content = _convert(in_float32(classifier), quantization, calibration_data, lengths)
    token_ids, windows = zip(*(_inputs(classifier, documents, x) for x in lengths), strict=True)
    inputs = token_ids
    if input_type == "text":
        inputs = [[as_bytes(x, i) for i, x in enumerate(documents)]]
        with quiet():
            content = prepend_tokenizer(content, classifier.tokenizer, inputs[0], token_ids[0])
    content = add_metadata(content, metadata_of(classifier, lengths))

    def pooled(outputs):
        """One answer for each document and length, of what windows of each length answer."""
        pairs = zip(outputs, windows, strict=True)
        return np.concatenate([classifier.pooled(*pair) for pair in pairs])

    def answers(path):
        received = pooled([run_litert(path, x)[0] for x in inputs])
        return received, pooled([classifier.predict(x, verbose=0) for x in token_ids])

    return Candidate(input_type, inputs[0], lambda path: path.write_bytes(content), answers)


def _convert(classifier, quantization, calibration_data, lengths):
    from keras_combiner.export.litert_conversion import convert

    learns = classifier.learns_ranges
    token_ids = {
        length: classifier.tokenizer(calibration_data, length).numpy()
        for length in lengths
        if calibration_data
    }

    def call(token_ids):
        # The quantizer rounds weights by itself.
        with classifier.weights_in_float() if learns else contextlib.nullcontext():
            return {classifier.task.output: classifier(token_ids, training=False)}

    embedding = classifier.backbone.embedding
    return convert(call, embedding, quantization, lengths, token_ids, learns)


def _inputs(classifier, documents, length):
    """What documents are to the file: token ids `[windows, length]`, and windows of each."""
    if classifier.long_texts == "truncate":
        return classifier.tokenizer(documents, length).numpy(), np.ones(len(documents), "int64")
    rows = classifier.tokenizer.encode(documents)
    windows = [split_into_windows(row.numpy(), length) for row in rows]
    token_ids = np.zeros([sum(map(len, windows)), length], "int32")
    for padded, ids in zip(token_ids, itertools.chain(*windows), strict=True):
        padded[: len(ids)] = ids
    return token_ids, np.array([len(x) for x in windows])


def _check_kind(classifier, path, quantization, input_type):
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"`quantization` must be one of {', '.join(map(repr, QUANTIZATIONS))}. "
            f"Received: {quantization!r}."
        )
    if input_type not in INPUT_TYPES:
        raise ValueError(
            f"`input_type` must be one of {', '.join(map(repr, INPUT_TYPES))}. "
            f"Received: {input_type!r}."
        )
    if not str(path).endswith(".tflite"):
        raise ValueError(f"A LiteRT file ends in .tflite. Received: {path}.")
    refuse_quantized(classifier, "export it with quantization='dynamic_int8' or another kind")
    if classifier.learns_ranges and quantization != "int8":
        raise ValueError(
            "A quantization-aware classifier is for 'int8'; for other kinds export what its "
            f"`without_quantization()` returns. Received: {quantization!r}."
        )
    if input_type == "text" and classifier.long_texts == "windows":
        raise ValueError(
            "A file that takes text cuts it inside, while this classifier reads long documents in "
            "windows (long_texts='windows'): its answers would not be those that were evaluated. "
            "Export with input_type='token_ids', and read windows as examples/on_device does, or "
            "set `classifier.long_texts = 'truncate'` to read the first tokens alone."
        )


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


def _checked_lengths(sequence_lengths, classifier, input_type):
    """Returns the lengths of the signatures, the longest first."""
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
    if classifier.long_texts == "windows" and max(lengths) < longest:
        raise ValueError(
            f"The model reads windows of {longest} tokens (long_texts='windows'), and answers for "
            f"shorter ones are not those that were evaluated: add {longest} to `sequence_lengths`. "
            f"Received: {sequence_lengths!r}."
        )
    if classifier.backbone.arguments["static_length"] and lengths != [longest]:
        raise ValueError(
            f"The model takes documents of one length only, {longest} tokens (static_length=True): "
            f"leave `sequence_lengths` out. Received: {sequence_lengths!r}."
        )
    if input_type == "text" and len(lengths) > 1:
        raise ValueError(
            "A file that takes text has one length: which length fits is known only once the text "
            f"is tokenized. Name one in `sequence_lengths`. Received: {sequence_lengths!r}."
        )
    return sorted(lengths, reverse=True)


def run_litert(path, documents, num_threads=1):
    """Runs a .tflite file that `export_litert` wrote on documents, one after the other.

    Args:
        path: str or path of the file.
        documents: int32 array `[documents, length]`, of one of the file's lengths; or, if the
            file takes text, list of str or bytes.
        num_threads: int, threads of the interpreter.

    Returns:
        `(probabilities, seconds)`: float32 `[documents, classes]`, or the values `[documents, 1]`
        of a regression, or embeddings `[documents, dim]`, and float `[documents]`, the time that
        each took.

    Raises:
        ImportError: if ai-edge-litert is missing (extra "litert"), or tensorflow-text (extra
            "text") for a file that takes text.
        ValueError: if the file takes documents of other lengths.
    """
    input_type = "token_ids" if hasattr(documents, "shape") else "text"
    if input_type == "text":
        documents = [as_bytes(x, i) for i, x in enumerate(documents)]
    with quiet():
        run = runners.load_litert(path, input_type, num_threads)
    return runners.run_each(run, documents)
