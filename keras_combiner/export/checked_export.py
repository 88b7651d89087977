"""What every export does: check, write aside, read back, compare, report, rename."""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_combiner.atomic_files import atomic_write, refuse_existing
from keras_combiner.batches.text_inputs import as_pairs, as_texts, each
from keras_combiner.export import verification


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Options of every export, as `export_saved_model` documents them."""

    documents: Any = None
    labels: Any = None
    max_accuracy_drop: float | None = None
    measure: bool = False
    overwrite: bool = False
    verbose: bool = True


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An export that has yet to show that it answers as its model does.

    Attributes:
        kind: str, what runs it, a key of `runners.PROGRAMS`.
        inputs: sequence of int32 arrays `[length]` or of bytes, what it takes of the documents.
        write: function of a path, which writes the export there.
        answers: function of that path that returns `(received, expected)`, both float arrays
            `[documents, units]`: what the written export answers, and what the model does. An
            export of several lengths answers all documents once for each length.
    """

    kind: str
    inputs: Sequence
    write: Callable
    answers: Callable


def checked_export(classifier, path, prepare, options, require=()):
    """Writes an export, reads it back, compares it with its model, and only then names it `path`.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier` or `LongDocumentEmbedder`.
        path: str or path of the file or directory to make.
        prepare: function of the documents (list of str) that returns a `Candidate`.
        options: `ExportOptions`.
        require: functions without arguments that raise an ImportError if a package is missing.

    Returns:
        `ExportReport`.

    Raises:
        FileExistsError: if `path` exists and may not be replaced.
        ImportError: if a package is missing.
        ValueError: if labels and documents do not go together.
        RuntimeError: if Keras runs on another backend than TensorFlow, or the export returns values
            that are not finite or loses more accuracy than it may. Nothing is written then.
    """
    refuse_existing(path, options.overwrite)
    _require_tensorflow_backend()
    for import_package in require:
        import_package()  # says what is missing before the work, not after
    documents, targets = documents_to_compare(
        classifier, options.documents, options.labels, options.max_accuracy_drop
    )
    candidate = prepare(documents)
    with atomic_write(path, options.overwrite) as unfinished:
        candidate.write(unfinished)
        received, expected = candidate.answers(unfinished)
        if targets is not None:
            targets = np.concatenate([targets] * (len(expected) // len(documents)))
        report = verification.compare(
            path,
            _size(unfinished),
            expected,
            received,
            targets,
            options.max_accuracy_drop,
            task=classifier.task,
        )
        if options.measure:
            report = verification.measured(report, candidate.kind, unfinished, candidate.inputs)
    if options.verbose:
        print(report)
    return report


def _require_tensorflow_backend():
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "Exports need the TensorFlow backend of Keras. Received: "
            f"{keras.backend.backend()}. Save the model to a .keras file, and load and export it "
            "in a process with KERAS_BACKEND=tensorflow."
        )


def _size(path):
    """Bytes of a file, or of all files in a directory."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def documents_to_compare(classifier, documents, labels, max_accuracy_drop):
    """Checks the documents on which an export is compared with its model.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`.
        documents: texts as `LongDocumentClassifier.fit` takes them, or None for
            `sample_documents()`.
        labels: labels as `fit` takes them, one a document, or None.
        max_accuracy_drop: float or None.

    Returns:
        `(documents, targets)`: list of str, and int array `[documents]` of class ids (or the
        targets of another task), None without labels.

    Raises:
        ValueError: if there are no documents, labels and documents differ in number, a label is
            unknown to the model, or `max_accuracy_drop` is not a share or comes without labels.
    """
    if classifier.task.name == "embedding" and (labels, max_accuracy_drop) != (None, None):
        raise ValueError(
            "Embeddings are compared with those of the model, and have no accuracy: leave `labels` "
            "and `max_accuracy_drop` out."
        )
    if max_accuracy_drop is not None:
        if not 0 <= max_accuracy_drop <= 1:
            raise ValueError(
                "`max_accuracy_drop` is a share of the documents, from 0 to 1: 0.01 is one in a "
                f"hundred. Received: {max_accuracy_drop!r}."
            )
        if labels is None:
            raise ValueError("`max_accuracy_drop` needs `documents` and their `labels`.")
        if classifier.task.name == "regression":
            raise ValueError("`max_accuracy_drop` is for classes; a regression has no accuracy.")
    if documents is None:
        if labels is not None:
            raise ValueError(
                "`labels` are those of `documents`. Received no documents. Pass both, or neither."
            )
        return sample_documents(), None
    documents = as_texts(documents, "documents")
    if not documents:
        raise ValueError(
            "An export is compared with its model on documents. Received: an empty list. Leave "
            "`documents` out to compare on texts that ship with the package."
        )
    if labels is None:
        return documents, None
    documents, labels = as_pairs(documents, labels)
    target = classifier.task.targets(classifier.labels)
    return documents, np.array(list(each(target, labels)))


def sample_documents():
    """Returns public-domain texts that ship with the package, for want of the user's own.

    Returns:
        list of str: long ones, and short ones that are mostly padding to a model of fixed length.
    """
    lines = resources.files(__package__).joinpath("sample_documents.jsonl").read_text("utf-8")
    long_documents = [json.loads(line)["text"] for line in lines.splitlines()]
    return [*long_documents, long_documents[0][:60], ""]


def refuse_quantized(classifier, instead):
    """Raises a ValueError for a model that Keras has quantized, whose integers do not convert.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`.
        instead: str, what to do with the model as it was before.
    """
    modes = {x.quantization_mode for x in classifier._flatten_layers()} - {None}
    if modes:
        raise ValueError(
            f"The model was quantized by `quantize({min(modes)!r})` of Keras, which "
            "export_saved_model takes, and this export does not. Load the model as it was before, "
            f"and {instead}."
        )


def in_float32(classifier, others=("float64", "float16", "bfloat16")):
    """Returns a copy in float32 of a classifier that computes in another dtype.

    LiteRT and ONNX lack most operations in these, and exports promise float32.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`, not quantized by Keras.
        others: tuple of str, the dtypes that are not kept.

    Returns:
        a classifier of the same class with the same weights, rounded where they were longer; or
        `classifier` itself, if it does not compute in any of `others`.
    """
    # Models have a dtype too, which says nothing about their layers.
    layers = [x for x in classifier._flatten_layers() if not isinstance(x, keras.Model)]
    if all(x.compute_dtype not in others for x in layers if x.weights):
        return classifier
    config = classifier.get_config()
    config["backbone"]["config"]["dtype"] = "float32"
    if "head_dtype" in config:  # an embedder has no head
        config["head_dtype"] = "float32"
    copy = type(classifier).from_config(config)
    with tempfile.TemporaryDirectory() as folder:
        # Not one by one: files hold LoRA's additions as part of the weights that they add to.
        weights = Path(folder, "copy.weights.h5")
        classifier.save_weights(weights)
        copy.load_weights(weights)
    return copy
