"""A classifier as an .onnx file, for runtimes that are not TensorFlow's."""

import functools

import numpy as np
import tensorflow as tf

from keras_combiner.export import runners
from keras_combiner.export.checked_export import (
    Candidate,
    ExportOptions,
    checked_export,
    in_float32,
    refuse_quantized,
)
from keras_combiner.export.document_windows import pooled_outputs, windows_of_ids
from keras_combiner.export.runners import quiet
from keras_combiner.export.saved_model import known_tokens


def export_onnx(
    classifier,
    path,
    documents=None,
    labels=None,
    max_accuracy_drop=None,
    measure=False,
    overwrite=False,
    verbose=True,
):
    """Writes an .onnx file, reads it back into onnxruntime and compares it with the model.

    The file takes `token_ids`, int32 `[batch, length]` with 0 for padding, and returns
    `probabilities`, float32 `[batch, classes]`; or `value`, `[batch, 1]`, of a regression; or
    `embedding`, `[batch, dim]`, of an embedder. A batch may have any size, and any length up to
    the model's `sequence_length`; a model that was built with `static_length=True` takes its one
    length. With `long_texts="windows"` documents may have any length and are read in windows as
    `classify` does, eight at a time in an ONNX Loop; the last id that is not padding is the end
    token, with which every window ends. Unknown ids count as padding, as in `serving_token_ids` of
    `export_saved_model`. All operators are standard ones of ONNX.

    A model of another precision is converted to float32 first.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier` or `LongDocumentEmbedder`.
        path: str or path of the file to make, ending in ".onnx".
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
        ImportError: if onnx, onnxruntime or tf2onnx is missing (extra "onnx").
        FileExistsError: if `path` exists and `overwrite` is false.
        ValueError: for a path without the ending, a classifier that is quantization-aware or that
            `quantize` of Keras has changed, or labels and documents that do not go together.
        RuntimeError: if the model needs operations that ONNX does not have (they are named), Keras
            runs on another backend than TensorFlow, or the export returns values that are not
            finite or loses more accuracy than it may. Nothing is written then.

    Example:

    >>> import tempfile
    >>> from keras_combiner import LongDocumentClassifier
    >>> path = tempfile.mkdtemp() + "/model.onnx"
    >>> classifier = LongDocumentClassifier.from_texts(
    ...     ["a b", "c d"], ["x", "y"], sequence_length=128, tokenizer="bytes", num_layers=1
    ... )
    >>> report = export_onnx(classifier, path, documents=["a b", "c"], verbose=False)
    >>> report.documents, report.largest_difference < 1e-5
    (2, True)
    """
    options = ExportOptions(documents, labels, max_accuracy_drop, measure, overwrite, verbose)
    if not str(path).endswith(".onnx"):
        raise ValueError(f"An ONNX file ends in .onnx. Received: {path}.")
    if classifier.learns_ranges:
        raise ValueError(
            "A quantization-aware classifier is for export_litert(quantization='int8'); to ONNX "
            "export what its `without_quantization()` returns."
        )
    refuse_quantized(classifier, "export that")
    prepare = functools.partial(_candidate, classifier)
    require = [_import_tf2onnx, runners.import_onnxruntime]
    return checked_export(classifier, path, prepare, options, require)


def _candidate(classifier, documents):
    content = _convert(in_float32(classifier))
    token_ids = token_ids_of(classifier, documents)

    def answers(path):
        received, _ = run_onnx(path, token_ids)
        return received, classifier.predict(documents, verbose=0)

    return Candidate("onnx", token_ids, lambda path: path.write_bytes(content), answers)


def run_onnx(path, documents, num_threads=1):
    """Runs an .onnx file that `export_onnx` wrote on documents, one after the other.

    Args:
        path: str or path of the file.
        documents: int32 array `[documents, length]`, or list of arrays `[length]`.
        num_threads: int, threads of an operation.

    Returns:
        `(probabilities, seconds)`: float32 `[documents, classes]`, or the values `[documents, 1]`
        of a regression, or embeddings `[documents, dim]`, and float `[documents]`, the time that
        each took.

    Raises:
        ImportError: if onnxruntime is missing (extra "onnx").
    """
    return runners.run_each(runners.load_onnx(path, num_threads), documents)


def token_ids_of(classifier, documents):
    """Returns texts as the token ids that the file takes, a document at a time.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`.
        documents: list of str.

    Returns:
        list of int32 arrays `[length]`, of the document's own length, or of the model's if it
        takes only one; whole documents if the model reads windows.
    """
    if _length(classifier) is None:
        limit = None if classifier.long_texts == "windows" else classifier.sequence_length
        rows = classifier.tokenizer.encode(documents, limit)
        return [row.numpy() for row in rows]
    return list(classifier.tokenizer(documents, classifier.sequence_length).numpy())


def _length(classifier):
    """Returns the one length that the file takes, or None for any."""
    return None if classifier.long_texts == "windows" else classifier.backbone.input_shape[1]


def _import_tf2onnx():
    """Returns the module `tf2onnx`, or says what to install."""
    try:
        import tf2onnx
    except ImportError as error:
        raise ImportError(
            "An ONNX file is made with onnx and tf2onnx: pip install 'keras_combiner[onnx]'."
        ) from error
    return tf2onnx


def _convert(classifier):
    """Returns the bytes of the file.

    `keras.Model.export(format="onnx")` uses tf2onnx too; here it gets the operations that it lacks.
    """
    spec = tf.TensorSpec([None, _length(classifier)], tf.int32, name="token_ids")

    @tf.function(input_signature=[spec], autograph=False)
    def serve(token_ids):
        token_ids = known_tokens(token_ids, classifier)
        if classifier.long_texts == "windows":
            # At least one document: ONNX has no maximum of an empty tensor.
            batch = tf.shape(token_ids)[0]
            token_ids = tf.pad(token_ids, [[0, tf.cast(batch == 0, tf.int32)], [0, 0]])
            windows = windows_of_ids(token_ids, classifier)
            outputs = pooled_outputs(classifier, windows)[:batch]
        else:
            outputs = classifier(token_ids, training=False)
        return {classifier.task.output: outputs}

    with quiet():
        model, _ = _import_tf2onnx().convert.from_function(
            serve, [spec], custom_op_handlers={name: (f, []) for name, f in _HANDLERS.items()}
        )
    _refuse_unknown_operators(model)
    (inputs,), (outputs,) = model.graph.input, model.graph.output
    for value, axes in ((inputs, ("batch", "length")), (outputs, ("batch",))):
        for axis, dimension in zip(axes, value.type.tensor_type.shape.dim, strict=False):
            if dimension.dim_param:
                dimension.dim_param = axis
    return model.SerializeToString()


def _refuse_unknown_operators(model):
    # tf2onnx leaves an operation that it cannot translate as it is, and says so in a log.
    from onnx import defs

    unknown = {x.op_type for x in model.graph.node if not defs.has(x.op_type, domain=x.domain)}
    if unknown:
        raise RuntimeError(
            f"ONNX has no operator for: {', '.join(sorted(unknown))}. Nothing was written."
        )


def _erfc(graph, node, *_):
    """erfc(x) = 1 - erf(x), which exact GELU is made of."""
    dtype = _import_tf2onnx().utils.map_onnx_to_numpy_type(graph.get_dtype(node.input[0]))
    one = graph.make_const(f"{node.name}_one", np.ones((), dtype)).output[0]
    erf = graph.make_node("Erf", node.input).output[0]
    _replace(graph, node, "Sub", [one, erf])


# For integers, as the layers use them: tf2onnx rounds quotients to zero instead of down.
def _floor_mod(graph, node, *_):
    _replace(graph, node, "Mod", node.input)


def _floor_div(graph, node, *_):
    dividend, divisor = node.input
    remainder = graph.make_node("Mod", [dividend, divisor]).output[0]
    multiple = graph.make_node("Sub", [dividend, remainder]).output[0]
    _replace(graph, node, "Div", [multiple, divisor])


def _replace(graph, node, operator, inputs):
    shapes, dtypes = node.output_shapes, node.output_dtypes
    graph.remove_node(node.name)
    graph.make_node(operator, inputs, outputs=node.output, shapes=shapes, dtypes=dtypes)


_HANDLERS = {"Erfc": _erfc, "FloorMod": _floor_mod, "FloorDiv": _floor_div}
