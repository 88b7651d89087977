"""The rows of the deployment report: every kind of export of one classifier, and its accuracy."""

import dataclasses
import zlib

from keras_combiner.datasets import load_sotu_era

CALIBRATION_DOCUMENTS = 100
PADDED_WORDS = 300  # of the documents that are mostly padding then
WHOLE, PADDED = "whole", "padded"

SAVED_MODEL, ONNX, TEXT = "SavedModel", "ONNX", "dynamic_int8, takes text"
FLOAT32, DYNAMIC, INT8, INT4 = "float32", "dynamic_int8", "int8", "int4"
QAT, PRUNED = "quantization-aware, int8", "80 % pruned, dynamic_int8"


@dataclasses.dataclass(frozen=True)
class Row:
    """One export.

    Attributes:
        kind: str, what runs it, one of `keras_combiner.export.runners.PROGRAMS`.
        quantization: str, of a .tflite file; None of others.
        fine_tuned: str, of `FINE_TUNED`, the classifier that is exported; None for the one that
            all begin with.
    """

    kind: str
    quantization: str | None = None
    fine_tuned: str | None = None


ROWS = {
    SAVED_MODEL: Row("saved_model"),
    ONNX: Row("onnx"),
    **{x: Row("token_ids", x) for x in (FLOAT32, "float16", DYNAMIC, INT8, INT4, "int16x8")},
    TEXT: Row("text", "dynamic_int8"),
    QAT: Row("token_ids", "int8", "quantization-aware"),
    PRUNED: Row("token_ids", "dynamic_int8", "80 % pruned"),
    "2:4 pruned, dynamic_int8": Row("token_ids", "dynamic_int8", "2:4 pruned"),
    "clustered, dynamic_int8": Row("token_ids", "dynamic_int8", "clustered"),
}


def _quantization_aware(classifier, texts, labels):
    from keras_combiner.optimization import fine_tuned, quantization_aware

    return fine_tuned(quantization_aware(classifier), texts, labels)


def _pruned(classifier, texts, labels, **options):
    from keras_combiner.optimization import MagnitudePruning, fine_tuned

    return fine_tuned(classifier, texts, labels, [MagnitudePruning(**options)])


def _clustered(classifier, texts, labels):
    from keras_combiner.optimization import WeightClustering, fine_tuned

    return fine_tuned(classifier, texts, labels, [WeightClustering(16)])


# A trained classifier and the documents that it was trained on, to one trained a little more.
FINE_TUNED = {
    "quantization-aware": _quantization_aware,
    "80 % pruned": lambda *x: _pruned(*x, target_sparsity=0.8),
    "2:4 pruned": lambda *x: _pruned(*x, pattern="2:4"),
    "clustered": _clustered,
}


class Documents:
    """The test documents, whole and cut to their beginnings, and the classes they belong to.

    Attributes:
        texts: dict, `WHOLE` and `PADDED` -> list of str.
        class_ids: int array `[documents]`.
    """

    def __init__(self, classifier, every=1):
        import numpy as np

        documents = load_sotu_era("test")[::every]
        whole = [x.text for x in documents]
        beginnings = [" ".join(text.split()[:PADDED_WORDS]) for text in whole]
        self.texts = {WHOLE: whole, PADDED: beginnings}
        self.class_ids = np.array([classifier.labels.index(x.label) for x in documents])


def export(row, classifier, path):
    """Writes an export; `figures` measures it afterwards.

    Args:
        row: `Row`.
        classifier: `LongDocumentClassifier`, what `row.fine_tuned` says.
        path: path of the file or directory to make, or to replace.
    """
    options = {"documents": ["a"], "verbose": False, "overwrite": True}
    if row.kind == "saved_model":
        classifier.export_saved_model(path, **options)
    elif row.kind == "onnx":
        classifier.export_onnx(path, **options)
    else:
        from keras_combiner.export.quantization import CALIBRATED

        if row.quantization in CALIBRATED and row.fine_tuned is None:
            documents = load_sotu_era("train")[:CALIBRATION_DOCUMENTS]
            options["calibration_data"] = [x.text for x in documents]
        options |= {"quantization": row.quantization, "input_type": row.kind}
        classifier.export_litert(path, **options)


def inputs(row, classifier, texts):
    """Returns what an export takes of each text, a list."""
    from keras_combiner.export import onnx

    if row.kind == "onnx":
        return onnx.token_ids_of(classifier, texts)
    if row.kind == "token_ids":
        return list(classifier.tokenizer(texts, classifier.sequence_length).numpy())
    return [x.encode() for x in texts]


def expected(classifier, documents):
    """Returns a classifier's own probabilities of `WHOLE` and `PADDED`, a dictionary."""
    return {name: classifier.predict(texts, verbose=0) for name, texts in documents.texts.items()}


def figures(row, classifier, path, documents, expected):
    """Returns size and accuracy of an export.

    Args:
        row: `Row`.
        classifier: `LongDocumentClassifier`, what was exported.
        path: path of the export.
        documents: `Documents`.
        expected: what `expected` returns of both.

    Returns:
        Dictionary: "size" and "compressed", bytes; and for `WHOLE` and `PADDED` each a dictionary
        of "accuracy", "model_accuracy", "agreement" and "largest_difference", as in
        `keras_combiner.export.ExportReport`.
    """
    from keras_combiner.export import runners, verification
    from keras_combiner.export.runners import quiet

    files = [x for x in path.rglob("*") if x.is_file()] if path.is_dir() else [path]
    contents = [file.read_bytes() for file in files]
    found = {
        "size": sum(map(len, contents)),
        "compressed": sum(len(zlib.compress(x)) for x in contents),
    }
    _, load = runners.PROGRAMS[row.kind]
    with quiet():
        # TensorFlow runs here already, and its threads are set.
        run = load(path) if row.kind == "saved_model" else load(path, num_threads=2)
    for name, texts in documents.texts.items():
        received, _ = runners.run_each(run, inputs(row, classifier, texts))
        report = verification.compare(
            path, found["size"], expected[name], received, documents.class_ids
        )
        found[name] = {
            x: getattr(report, x)
            for x in ("accuracy", "model_accuracy", "agreement", "largest_difference")
        }
    return found
