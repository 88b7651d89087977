"""A classifier as a SavedModel that TF Serving loads."""

from pathlib import Path

import keras
import tensorflow as tf

from keras_combiner.export import runners, verification
from keras_combiner.export.warmup import require_tensorflow_serving_api, write_warmup_requests
from keras_combiner.models import TokenEvidence
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
    warmup=False,
):
    """Writes a SavedModel that takes texts, reads it back and compares it with the model.

    It needs tensorflow and tensorflow-text where it is loaded (`import tensorflow_text` registers
    the ops of the tokenizer), but neither Keras nor this package. Signatures:

    - `serving_default`: `text` (string `[batch]`) to `probabilities` (float32 `[batch, classes]`)
      and `label` (string `[batch]`). Without `label`, where a document may have several. A
      regression has `value` (float32 `[batch]`) in place of both, in all signatures. Also
      `tokens` (int32 `[batch]`), how many the model read, and `truncated` (bool `[batch]`),
      whether the text had more.
    - `serving_token_ids`: `token_ids` (int32 `[batch, length]`, 0 is padding) to
      `probabilities`.
    - `serving_scores`: what `serving_default` returns and, `[batch, length]` each for the longest
      text of the batch: `token_weights` (float32), how much each token speaks for the
      label (where there may be several, the most probable one), as
      `keras_combiner.models.TokenEvidence` defines it; `token_ids` (int32);
      `token_starts` and `token_ends` (int32), which bytes of the text each token is, as
      `keras_combiner.text.Tokenizer.encode_with_offsets` defines them. All are 0 at padding.

    No document fails the batch that it comes with. What is longer than the model reads is cut,
    also if the model takes windows. An
    empty text has a label like any other, invalid UTF-8 is read as the tokenizer does it, and a
    batch of none gets an answer of none. In `serving_token_ids` an id that the model does not have
    counts as padding, and so does the tokenizer's start token anywhere but in the first place, of
    which no text has any: TF Serving fills up shorter requests with the first id of theirs when
    it puts several into one batch.

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
    archive = _signatures(classifier)
    with written_whole(path, overwrite) as unfinished:
        archive.write_out(str(unfinished), verbose=False)
        if warmup:
            write_warmup_requests(classifier, unfinished)
        texts = [as_bytes(x, i) for i, x in enumerate(documents)]
        received, _ = runners.run_each(runners.load_saved_model(unfinished), texts)
        size = sum(file.stat().st_size for file in unfinished.rglob("*") if file.is_file())
        # Of ids, as the export sees them: cut, whatever the model does with long texts.
        token_ids = classifier.tokenizer(documents, classifier.sequence_length)
        expected = classifier.predict(token_ids.numpy(), verbose=0)
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
    sequence_length = classifier.sequence_length
    length = classifier.backbone.input_shape[1]  # None if any will do
    tokenizer = classifier.tokenizer
    evidence = TokenEvidence(classifier)

    def serve_text(text):
        token_ids = tokenizer.encode(text, sequence_length).to_tensor(shape=[None, length])
        outputs = classifier(token_ids, training=False)
        return {**task.signature(outputs, labels), **_reading(text, classifier)}

    def serve_token_ids(token_ids):
        token_ids = _only_tokens(token_ids[:, :sequence_length], classifier)
        if length is not None:
            token_ids = tf.pad(token_ids, [[0, 0], [0, length - tf.shape(token_ids)[1]]])
            token_ids = tf.ensure_shape(token_ids, [None, length])
        outputs = task.signature(classifier(token_ids, training=False), labels)
        return {task.output: outputs[task.output]}

    def serve_scores(text):
        token_ids, starts, ends = (
            x.to_tensor(shape=[None, length])
            for x in tokenizer.encode_with_offsets(text, sequence_length)
        )
        outputs, weights = evidence(token_ids)
        return {
            **task.signature(outputs, labels),
            **task.evidence_for(outputs, labels),
            **_reading(text, classifier),
            "token_ids": token_ids,
            "token_starts": starts,
            "token_ends": ends,
            "token_weights": weights,
        }

    # Endpoints bring their variables along; tracking the model too would write all of them twice.
    archive = keras.export.ExportArchive()
    text_spec = tf.TensorSpec([None], tf.string, name="text")
    token_ids_spec = tf.TensorSpec([None, None], tf.int32, name="token_ids")
    archive.add_endpoint("serving_default", serve_text, input_signature=[text_spec])
    archive.add_endpoint("serving_token_ids", serve_token_ids, input_signature=[token_ids_spec])
    archive.add_endpoint("serving_scores", serve_scores, input_signature=[text_spec])
    return archive


def _reading(text, classifier):
    """Says how much of each text is read, as `classify` does: `tokens` and `truncated`."""
    # One id more than there may be shows which texts are too long.
    limit = classifier.sequence_length
    num_tokens = classifier.tokenizer.encode(text, limit + 1).row_lengths()
    return {
        "tokens": tf.cast(tf.minimum(num_tokens, limit), tf.int32),
        "truncated": num_tokens > limit,
    }


def _only_tokens(token_ids, classifier):
    """Makes padding of the ids that no text of this classifier has."""
    is_known = (token_ids >= 0) & (token_ids < classifier.backbone.arguments["vocabulary_size"])
    is_start = token_ids == classifier.tokenizer.start_token_id
    is_first = tf.range(tf.shape(token_ids)[1]) == 0
    is_token = is_known & (is_first | ~is_start)
    return tf.where(is_token, token_ids, classifier.tokenizer.pad_token_id)


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
