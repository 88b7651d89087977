"""A classifier as a SavedModel that TF Serving loads."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_combiner.export import verification
from keras_combiner.text.tokenizer import as_bytes
from keras_combiner.whole_files import refuse_existing, written_whole


def export_saved_model(
    classifier,
    path,
    documents=None,
    labels=None,
    max_accuracy_drop=None,
    measure=False,
    overwrite=False,
    verbose=True,
):
    """Writes a SavedModel that takes texts, reads it back and compares it with the model.

    It needs tensorflow and tensorflow-text where it is loaded (`import tensorflow_text` registers
    the ops of the tokenizer), but neither Keras nor this package. Signatures:

    - `serving_default`: `text` (string `[batch]`) to `probabilities` (float32 `[batch, classes]`)
      and `label` (string `[batch]`).
    - `serving_token_ids`: `token_ids` (int32 `[batch, length]`, 0 is padding) to
      `probabilities`.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`.
        path: str or path of the directory to make; TF Serving wants a number as its last part,
            as in "saved_models/my_model/1".
        documents: list of str for the comparison; texts that ship with the package if None.
        labels: list of labels, one a document, for the accuracy of both; None for none.
        max_accuracy_drop: float, by how much the accuracy on `documents` may be less than the
            model's, or nothing is written; None for any.
        measure: bool, whether to measure latency and memory, in processes of their own; takes some
            twenty seconds.
        overwrite: bool, whether an existing directory may be replaced.
        verbose: bool, whether to print the report.

    Returns:
        `ExportReport`.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is false, or is a directory that holds
            something else than a SavedModel, which replacing it would delete.
        ValueError: if labels and documents do not go together.
        RuntimeError: if Keras runs on another backend than TensorFlow, or the export gives values
            that are not finite, or loses more accuracy than it may. Nothing is written then.

    Example:

    >>> import tempfile
    >>> from keras_combiner import LongDocumentClassifier
    >>> classifier = LongDocumentClassifier.from_texts(
    ...     ["a b", "c d"], ["x", "y"], sequence_length=64, tokenizer="bytes"
    ... )
    >>> path = tempfile.mkdtemp() + "/model/1"
    >>> report = export_saved_model(classifier, path, verbose=False)
    >>> report.agreement
    1.0
    """
    refuse_existing(path, overwrite)
    _refuse_other_directory(Path(path))
    require_tensorflow_backend()
    documents, class_ids = verification.checked_held_out(
        classifier, documents, labels, max_accuracy_drop
    )
    names = tf.constant(classifier.labels)
    sequence_length = classifier.sequence_length
    length = classifier.backbone.input_shape[1]  # None if any will do

    def serve_token_ids(token_ids):
        # Cut, not refused: one long document must not fail the batch that it came with.
        return {"probabilities": classifier(token_ids[:, :sequence_length], training=False)}

    def serve_text(text):
        token_ids = classifier.tokenizer.encode(text, sequence_length)
        token_ids = token_ids.to_tensor(shape=[None, length])
        outputs = serve_token_ids(token_ids)
        best = tf.argmax(outputs["probabilities"], axis=-1)
        return {**outputs, "label": tf.gather(names, best)}

    # Endpoints bring their variables along; tracking the model too would write all of them twice.
    archive = keras.export.ExportArchive()
    text_spec = tf.TensorSpec([None], tf.string, name="text")
    token_ids_spec = tf.TensorSpec([None, length], tf.int32, name="token_ids")
    archive.add_endpoint("serving_default", serve_text, input_signature=[text_spec])
    archive.add_endpoint("serving_token_ids", serve_token_ids, input_signature=[token_ids_spec])
    with written_whole(path, overwrite) as unfinished:
        archive.write_out(str(unfinished), verbose=False)
        serve = tf.saved_model.load(str(unfinished)).signatures["serving_default"]
        texts = [as_bytes(x, i) for i, x in enumerate(documents)]
        received = [serve(text=tf.constant([x]))["probabilities"].numpy() for x in texts]
        size = sum(file.stat().st_size for file in unfinished.rglob("*") if file.is_file())
        expected = classifier.predict(documents, verbose=0)
        report = verification.compare(
            path, size, expected, np.concatenate(received), class_ids, max_accuracy_drop
        )
        if measure:
            report = verification.measured(report, "saved_model", unfinished, texts)
    if verbose:
        print(report)
    return report


def _refuse_other_directory(path):
    is_other = path.is_dir() and any(path.iterdir()) and not (path / "saved_model.pb").is_file()
    if path.is_file() or is_other:
        raise FileExistsError(
            f"{path} is not a SavedModel, and would be deleted. Choose another path."
        )


def require_tensorflow_backend():
    """Raises a RuntimeError unless Keras runs on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "Exports need the TensorFlow backend of Keras. Received: "
            f"{keras.backend.backend()}. Save the model to a .keras file, and load and export it "
            "in a process with KERAS_BACKEND=tensorflow."
        )
