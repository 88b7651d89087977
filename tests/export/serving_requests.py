"""What the shipped model is asked, however it is served, and what it should answer."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_combiner import LongDocumentClassifier
from keras_combiner.datasets import load_sotu_era

SHIPPED = Path(__file__).parents[2] / "saved_models" / "sotu_era"

HARD_TEXTS = [b"", b"\x00", b"war \xff\xfe peace", b"\xc3", "漢字 \U0001f327 naïve".encode()]


def load_classifier():
    return LongDocumentClassifier.load(SHIPPED)


def requests(classifier):
    """Lists `(signature, input's name, value)`: real documents, hard ones, and none at all."""
    documents = [x.text.encode() for x in load_sotu_era("test")[:2]]
    texts = [[documents[0]], documents + HARD_TEXTS, [b" ".join(documents * 4)], []]
    token_ids = classifier.tokenizer(documents + HARD_TEXTS, classifier.sequence_length).numpy()
    unknown = np.array([[2, -1, 40, 2**31 - 1, 3]], "int32")
    rows = [token_ids, token_ids[:1, :700], token_ids[:0], token_ids[:2, :0], unknown]
    return [
        *(("serving_default", "text", np.array(x, object)) for x in texts),
        *(("serving_scores", "text", np.array(x, object)) for x in texts),
        *(("serving_token_ids", "token_ids", x) for x in rows),
    ]


def answers_in_python(path, asked):
    """What the signatures of a SavedModel give in this process: one dict of arrays a request."""
    signatures = tf.saved_model.load(str(path)).signatures
    answers = []
    for signature, name, value in asked:
        value = tf.constant(value, tf.string if value.dtype == object else None, value.shape)
        outputs = signatures[signature](**{name: value})
        answers.append({key: output.numpy() for key, output in outputs.items()})
    return answers


def assert_same(received, expected):
    """Compares two answers: floats to 1e-5, all else exactly."""
    assert received.keys() == expected.keys()
    for name, value in expected.items():
        assert received[name].shape == value.shape, name
        if value.dtype == np.float32:
            np.testing.assert_allclose(received[name], value, rtol=0, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(received[name], value, err_msg=name)
