"""A classifier or an embedder as a SavedModel that TF Serving loads."""

import functools
from pathlib import Path

import keras
import tensorflow as tf

from keras_combiner.export import runners
from keras_combiner.export.checked_export import (
    Candidate,
    ExportOptions,
    checked_export,
    in_float32,
)
from keras_combiner.export.document_windows import (
    DocumentWindows,
    pooled_evidence,
    pooled_outputs,
    windows_of_ids,
)
from keras_combiner.export.endpoints import add_endpoint
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

    To load it, tensorflow and tensorflow-text are enough (`import tensorflow_text` registers the
    ops of the tokenizer); neither Keras nor this package is needed. Signatures:

    - `serving_default` takes `text` (string `[batch]`) and returns
        - `probabilities` (float32 `[batch, classes]`) and `label` (string `[batch]`; empty where
          `LongDocumentClassifier.calibrate` chose a threshold that the probability is not above);
          where a document may have several labels, `is_label` (bool `[batch, labels]`, by their
          thresholds, in the order of `probabilities`) in place of `label`; for a regression only
          `value` (float32 `[batch]`), and for an embedder only `embedding` (float32
          `[batch, dim]`), in all signatures;
        - `tokens` (int32 `[batch]`), how many the model read, and `truncated` (bool `[batch]`),
          whether the text had more; with `long_texts="windows"` also `windows` (int32 `[batch]`),
          the number of windows.
    - `serving_token_ids` takes `token_ids` (int32 `[batch, length]`, 0 is padding) and returns
      `probabilities`.
    - `serving_scores` returns what `serving_default` does and for each token, `[batch, length]`
      with 0 for padding: `token_weights` (float32), how much the token speaks for the label (where
      there may be several, the most probable one), as `keras_combiner.models.TokenEvidence` defines
      it; `token_ids` (int32); `token_starts` and `token_ends` (int32), the bytes of the text that
      the token covers, as `keras_combiner.text.Tokenizer.encode_with_offsets` defines them.

    An embedder has no `serving_scores`.

    Documents longer than the model reads are truncated or, with `long_texts="windows"`, read in
    windows, as `classify` does. Eight windows are in memory at a time, however long a document is.
    In `serving_token_ids` a document then has all its ids, and its last one that is not padding is
    the end token, with which every window ends.

    No document makes the rest of its batch fail: an empty text has a label like any other, invalid
    UTF-8 is read as the tokenizer reads it, and an empty batch has an empty answer. In
    `serving_token_ids` unknown ids count as padding, and so does the start token anywhere but in
    first place: TF Serving pads the shorter requests of a batch with their first id.

    A model in float64 is written in float32.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier` or `LongDocumentEmbedder`.
        path: str or path of the directory to make; TF Serving expects a number as its last part,
            as in "saved_models/my_model/1".
        documents: list of str to compare on; texts that ship with the package if None.
        labels: list of labels, one a document, to report the accuracy of both; optional, and not
            for an embedder.
        max_accuracy_drop: float, by how much the accuracy on `documents` may be below the model's;
            if it is lower, nothing is written. None for no limit.
        measure: bool, whether to measure latency and memory, in processes of their own; for a
            SavedModel that takes some twenty seconds.
        overwrite: bool, whether an existing export may be replaced.
        verbose: bool, whether to print the report.
        warmup: bool, whether to add requests that TF Serving sends itself before it announces the
            model, so that the first user does not wait.

    Returns:
        `ExportReport`.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is false, or if it is not a SavedModel:
            replacing it would delete something else.
        ImportError: if `warmup` is true and tensorflow-serving-api is missing (extra "serving").
        ValueError: if labels and documents do not go together.
        RuntimeError: if Keras runs on another backend than TensorFlow, or the export returns values
            that are not finite, or loses more accuracy than it may. Nothing is written then.

    Example:

    >>> import tempfile
    >>> from keras_combiner import LongDocumentClassifier
    >>> classifier = LongDocumentClassifier.from_texts(
    ...     ["a b", "c d"], ["x", "y"], sequence_length=64, tokenizer="bytes", num_layers=1
    ... )
    >>> path = tempfile.mkdtemp() + "/model/1"
    >>> report = export_saved_model(classifier, path, verbose=False)
    >>> report.agreement
    1.0
    """
    options = ExportOptions(documents, labels, max_accuracy_drop, measure, overwrite, verbose)
    if overwrite:
        _refuse_other_directory(Path(path))
    prepare = functools.partial(_candidate, classifier, warmup)
    require = [require_tensorflow_serving_api] if warmup else []
    return checked_export(classifier, path, prepare, options, require)


def _candidate(classifier, warmup, documents):
    archive = _signatures(in_float32(classifier, ("float64",)))
    texts = [as_bytes(x, i) for i, x in enumerate(documents)]

    def write(path):
        archive.write_out(str(path), verbose=False)
        if warmup:
            write_warmup_requests(classifier, path)

    def answers(path):
        received, _ = runners.run_each(runners.load_saved_model(path), texts)
        expected = classifier.predict(texts, verbose=0)
        return received.reshape(expected.shape), expected

    return Candidate("saved_model", texts, write, answers)


def _signatures(classifier):
    """Makes the `keras.export.ExportArchive` that answers requests."""
    task, labels = classifier.task, classifier.labels
    reads = _Windows(classifier) if classifier.long_texts == "windows" else _Truncated(classifier)

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
    add_endpoint(archive, "serving_default", serve_text, text_spec)
    add_endpoint(archive, "serving_token_ids", serve_token_ids, token_ids_spec)
    if task.has_evidence:
        add_endpoint(archive, "serving_scores", serve_scores, text_spec)
    return archive


class _Truncated:
    """What a classifier answers about documents that it truncates, and how much of each it read."""

    def __init__(self, classifier):
        self._classifier = classifier
        self._evidence = TokenEvidence(classifier) if classifier.task.has_evidence else None
        self._tokenizer = classifier.tokenizer
        self._sequence_length = classifier.sequence_length
        self._length = classifier.backbone.input_shape[1]  # None for any length

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
        """Returns ragged rows without their last id and without ids beyond the model's length."""
        return rows[:, :-1][:, : self._sequence_length - 1]

    def _cut(self, rows, last=None):
        """Cuts as the tokenizer does: the end token, or what stands in its place, stays."""
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
    """The same for documents that it reads as a whole, in windows."""

    def __init__(self, classifier):
        self._classifier = classifier
        self._evidence = TokenEvidence(classifier) if classifier.task.has_evidence else None

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
    """Replaces ids that are not in the vocabulary of a classifier with padding.

    Args:
        token_ids: int32 tensor `[batch, length]`.
        classifier: `keras_combiner.LongDocumentClassifier`.

    Returns:
        int32 tensor `[batch, length]`.
    """
    is_known = (token_ids >= 0) & (token_ids < classifier.backbone.arguments["vocabulary_size"])
    return tf.where(is_known, token_ids, classifier.tokenizer.pad_token_id)


def _only_tokens(token_ids, classifier):
    """Replaces ids by padding where no text of this classifier has them."""
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
