"""A classifier as a SavedModel that TF Serving loads."""

from pathlib import Path

import keras
import tensorflow as tf

from keras_combiner.atomic_files import atomic_write, refuse_existing
from keras_combiner.export import dtypes, runners, verification
from keras_combiner.export.document_windows import (
    DocumentWindows,
    pooled_evidence,
    pooled_outputs,
    windows_of_ids,
)
from keras_combiner.export.token_evidence import TokenEvidence
from keras_combiner.export.warmup import require_tensorflow_serving_api, write_warmup_requests
from keras_combiner.text.tokenizer import as_bytes


def export_saved_model(
    classifier,
    path,
    documents=None,
    labels=None,
    max_accuracy_drop=None,
    measure=False,
    overwrite=False,
    verbose=True,
    warmup=False,
):
    """Writes a SavedModel that takes texts, reads it back and compares it with the model.

    A model in float64 is written in float32.

    It needs tensorflow and tensorflow-text where it is loaded (`import tensorflow_text` registers
    the ops of the tokenizer), but neither Keras nor this package. Signatures:

    - `serving_default`: `text` (string `[batch]`) to `probabilities` (float32 `[batch, classes]`)
      and `label` (string `[batch]`; empty where `LongDocumentClassifier.calibrate` chose a
      threshold that the probability is not above). Where a document may have several labels,
      `is_label` (bool `[batch, labels]`, by their thresholds, in the order of `probabilities`) in
      place of `label`. A regression has `value` (float32 `[batch]`) in place of all, in all
      signatures. Also `tokens` (int32 `[batch]`), how many the model read, and `truncated` (bool
      `[batch]`), whether the text had more. With `long="windows"` also `windows`
      (int32 `[batch]`), how many it took.
    - `serving_token_ids`: `token_ids` (int32 `[batch, length]`, 0 is padding) to
      `probabilities`.
    - `serving_scores`: what `serving_default` returns and, `[batch, length]` each for the longest
      text of the batch: `token_weights` (float32), how much each token speaks for the
      label (where there may be several, the most probable one), as
      `keras_combiner.models.TokenEvidence` defines it; `token_ids` (int32);
      `token_starts` and `token_ends` (int32), which bytes of the text each token is, as
      `keras_combiner.text.Tokenizer.encode_with_offsets` defines them. All are 0 at padding.

    What is longer than the model reads is cut or, with `long="windows"`, read in windows, as
    `classify` does it, in all signatures. However long a document is, eight windows are in memory
    at a time; `token_ids` are then a whole document, and their last one that is not padding is the
    end token, with which every window ends.

    No document fails the batch that it comes with. An empty text has a label like any other,
    invalid UTF-8 is read as the tokenizer does it, and a batch of none gets an answer of none. In
    `serving_token_ids` an id that the model does not have counts as padding, and so does the
    tokenizer's start token anywhere but in the first place, of which no text has any: TF Serving
    fills up shorter requests with the first id of theirs when it puts several into one batch.

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
        warmup: bool, whether to add the requests that TF Serving sends itself before it
            announces the model, so that the first user does not wait.

    Returns:
        `ExportReport`.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is false, or is a directory that holds
            something else than a SavedModel, which replacing it would delete.
        ImportError: if `warmup` is true and tensorflow-serving-api is missing (extra "serving").
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
    if warmup:
        require_tensorflow_serving_api()  # says what is missing before the work, not after
    documents, class_ids = verification.checked_held_out(
        classifier, documents, labels, max_accuracy_drop
    )
    archive = _signatures(dtypes.in_float32(classifier, ("float64",)))
    with atomic_write(path, overwrite) as unfinished:
        archive.write_out(str(unfinished), verbose=False)
        if warmup:
            write_warmup_requests(classifier, unfinished)
        texts = [as_bytes(x, i) for i, x in enumerate(documents)]
        received, _ = runners.run_each(runners.load_saved_model(unfinished), texts)
        size = sum(file.stat().st_size for file in unfinished.rglob("*") if file.is_file())
        expected = classifier.predict(texts, verbose=0)
        report = verification.compare(
            path,
            size,
            expected,
            received.reshape(expected.shape),
            class_ids,
            max_accuracy_drop,
            task=classifier.task,
        )
        if measure:
            report = verification.measured(report, "saved_model", unfinished, texts)
    if verbose:
        print(report)
    return report


def _signatures(classifier):
    """Makes the `keras.export.ExportArchive` that answers requests."""
    task, labels = classifier.task, classifier.labels
    reads = _Windows(classifier) if classifier.long == "windows" else _Cut(classifier)

    def serve_text(text):
        outputs, reading = reads.text(text)
        return {**task.signature(outputs, labels), **reading}

    def serve_token_ids(token_ids):
        outputs = task.signature(reads.token_ids(_only_tokens(token_ids, classifier)), labels)
        return {task.output: outputs[task.output]}

    def serve_scores(text):
        outputs, reading, by_token = reads.scores(text)
        return {
            **task.signature(outputs, labels),
            **task.evidence_for(outputs, labels),
            **reading,
            **by_token,
        }

    # Endpoints bring their variables along; tracking the model too would write all of them twice.
    archive = keras.export.ExportArchive()
    text_spec = tf.TensorSpec([None], tf.string, name="text")
    token_ids_spec = tf.TensorSpec([None, None], tf.int32, name="token_ids")
    archive.add_endpoint("serving_default", serve_text, input_signature=[text_spec])
    archive.add_endpoint("serving_token_ids", serve_token_ids, input_signature=[token_ids_spec])
    archive.add_endpoint("serving_scores", serve_scores, input_signature=[text_spec])
    return archive


class _Cut:
    """What a classifier says of documents that it cuts: outputs, and how much of each it read."""

    def __init__(self, classifier):
        self._classifier = classifier
        self._evidence = TokenEvidence(classifier)
        self._tokenizer = classifier.tokenizer
        self._sequence_length = classifier.sequence_length
        self._length = classifier.backbone.input_shape[1]  # None if any will do

    def text(self, text):
        encoded = self._tokenizer.encode(text, self._sequence_length + 1)
        token_ids = self._padded(self._cut(encoded))
        return self._classifier(token_ids, training=False), self._reading(encoded)

    def token_ids(self, token_ids):
        token_ids, length = token_ids[:, : self._sequence_length], self._length
        if length is not None:
            token_ids = tf.pad(token_ids, [[0, 0], [0, length - tf.shape(token_ids)[1]]])
            token_ids = tf.ensure_shape(token_ids, [None, length])
        return self._classifier(token_ids, training=False)

    def scores(self, text):
        encoded, starts, ends = self._tokenizer.encode_with_offsets(text, self._sequence_length + 1)
        stop = tf.reduce_max(self._without_last(ends), axis=1, keepdims=True)
        token_ids = self._padded(self._cut(encoded))
        starts, ends = (self._padded(self._cut(x, stop)) for x in (starts, ends))
        outputs, weights = self._evidence(token_ids)
        return outputs, self._reading(encoded), _by_token(token_ids, starts, ends, weights)

    def _without_last(self, rows):
        """Ragged rows, of which one id more than there may be shows that a text is too long."""
        return rows[:, :-1][:, : self._sequence_length - 1]

    def _cut(self, rows, last=None):
        """As the tokenizer cuts: the end token, or what stands in its place, stays."""
        return tf.concat([self._without_last(rows), rows[:, -1:] if last is None else last], axis=1)

    def _padded(self, rows):
        return rows.to_tensor(shape=[None, self._length])

    def _reading(self, encoded):
        num_ids = encoded.row_lengths()
        return {
            "tokens": tf.cast(tf.minimum(num_ids, self._sequence_length), tf.int32),
            "truncated": num_ids > self._sequence_length,
        }


class _Windows:
    """The same of documents that it reads as a whole, in windows."""

    def __init__(self, classifier):
        self._classifier = classifier
        self._evidence = TokenEvidence(classifier)

    def text(self, text):
        token_ids = self._classifier.tokenizer.encode(text)
        windows = self._windows(token_ids)
        return pooled_outputs(self._classifier, windows), self._reading(token_ids, windows)

    def token_ids(self, token_ids):
        return pooled_outputs(self._classifier, windows_of_ids(token_ids, self._classifier))

    def scores(self, text):
        token_ids, starts, ends = self._classifier.tokenizer.encode_with_offsets(text)
        windows = self._windows(token_ids)
        outputs, weights = pooled_evidence(self._classifier, self._evidence, windows)
        by_token = (x.to_tensor() for x in (token_ids, starts, ends))
        return outputs, self._reading(token_ids, windows), _by_token(*by_token, weights)

    def _windows(self, token_ids):
        return DocumentWindows(
            token_ids.to_tensor(),
            token_ids.row_lengths(),
            self._classifier.sequence_length,
            self._classifier.backbone.input_shape[1],
        )

    def _reading(self, token_ids, windows):
        num_ids = tf.cast(token_ids.row_lengths(), tf.int32)
        return {
            "tokens": num_ids,
            "truncated": tf.zeros_like(num_ids, tf.bool),
            "windows": tf.cast(windows.counts, tf.int32),
        }


def _by_token(token_ids, starts, ends, weights):
    return {
        "token_ids": token_ids,
        "token_starts": starts,
        "token_ends": ends,
        "token_weights": weights,
    }


def known_tokens(token_ids, classifier):
    """Makes padding of the ids that a classifier's vocabulary does not have.

    Args:
        token_ids: int32 tensor `[batch, length]`.
        classifier: `keras_combiner.LongDocumentClassifier`.

    Returns:
        int32 tensor `[batch, length]`.
    """
    is_known = (token_ids >= 0) & (token_ids < classifier.backbone.arguments["vocabulary_size"])
    return tf.where(is_known, token_ids, classifier.tokenizer.pad_token_id)


def _only_tokens(token_ids, classifier):
    """Makes padding of the ids that no text of this classifier has."""
    is_start = token_ids == classifier.tokenizer.start_token_id
    is_first = tf.range(tf.shape(token_ids)[1]) == 0
    known = known_tokens(token_ids, classifier)
    return tf.where(is_first | ~is_start, known, classifier.tokenizer.pad_token_id)


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
