"""Warm-up requests: TF Serving sends them to a model before it announces it."""

from pathlib import Path

import tensorflow as tf

from keras_combiner.export.checked_export import sample_documents

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"


def require_tensorflow_serving_api():
    """Raises an ImportError unless tensorflow-serving-api is installed."""
    try:
        import tensorflow_serving.apis.prediction_log_pb2  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Files for TF Serving are written with tensorflow-serving-api: "
            "pip install 'keras_combiner[serving]'."
        ) from error


def write_warmup_requests(classifier, path):
    """Adds warm-up requests to a SavedModel that `export_saved_model` wrote.

    Each signature has two: an empty document, and one as long as the model reads or, if it reads
    windows, several windows long. Their words are from a text that ships with the package, never
    from the user's documents.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`, that of the SavedModel.
        path: str or path of the SavedModel's directory.

    Raises:
        ImportError: if tensorflow-serving-api is missing (extra "serving").
    """
    require_tensorflow_serving_api()
    from tensorflow_serving.apis import prediction_log_pb2

    file = Path(path) / WARMUP_FILE
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature, inputs in _requests(classifier):
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            writer.write(log.SerializeToString())


def _requests(classifier):
    length = classifier.sequence_length
    words = sample_documents()[0].split()
    # A word is at least one token, so as many words as the model reads tokens are enough.
    longest = " ".join(words * (length // len(words) + 1))
    limit = length
    if classifier.long_texts == "windows":
        longest, limit = f"{longest} {longest}", None
    for text in ([""], [longest]):
        token_ids = classifier.tokenizer.encode(text, limit).to_tensor().numpy()
        yield "serving_default", {"text": text}
        yield "serving_token_ids", {"token_ids": token_ids}
        if classifier.task.has_evidence:
            yield "serving_scores", {"text": text}
