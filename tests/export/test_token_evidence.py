"""What tokens speak for adds up to what the classifier says."""

import keras
import numpy as np
import pytest

from keras_combiner import LongDocumentClassifier
from keras_combiner.models import TokenEvidence

LABELS = ["a", "b", "c"]
# Of unlike lengths: padding after the first, none after the second, nothing at all in the last.
TOKEN_IDS = np.array(
    [[1, 80, 90, 2, 0, 0, 0, 0], [1, 70, 71, 72, 73, 74, 75, 2], [0, 0, 0, 0, 0, 0, 0, 0]], "int32"
)


def make_classifier(**options):
    classifier = LongDocumentClassifier.from_texts(
        LABELS, LABELS, sequence_length=16, tokenizer="bytes", block_size=4, **options
    )
    for weight in classifier.trainable_weights:
        if "kernel" in weight.path or "bias" in weight.path:
            weight.assign(keras.random.normal(weight.shape, stddev=0.3))
    return classifier


def centred(logits):
    return logits - logits.mean(-1, keepdims=True)


def log_odds(probabilities):
    """Of the most probable class of every row, against the mean of all classes."""
    return centred(np.log(probabilities)).max(-1)


def test_weights_add_up_to_the_log_odds():
    classifier = make_classifier()
    probabilities, weights = map(np.asarray, TokenEvidence(classifier)(TOKEN_IDS))
    np.testing.assert_allclose(probabilities, classifier.predict(TOKEN_IDS), atol=1e-6)
    assert len(set(probabilities.argmax(-1))) > 1
    bias = centred(np.asarray(classifier.get_layer("probabilities").bias))
    constants = bias[probabilities.argmax(-1)]
    np.testing.assert_allclose(weights.sum(-1) + constants, log_odds(probabilities), atol=1e-5)
    assert weights.dtype == "float32"
    # Both signs: evidence for the class, and against it.
    assert weights.min() < -0.001 and weights.max() > 0.001


def test_one_weight_by_hand():
    classifier = make_classifier()
    probabilities, weights = map(np.asarray, TokenEvidence(classifier)(TOKEN_IDS))
    vector = np.asarray(classifier.backbone(TOKEN_IDS, training=False))[0, 2]
    logits = centred(vector @ np.asarray(classifier.get_layer("probabilities").kernel))
    expected = logits[probabilities[0].argmax()] / 4  # the document has four tokens
    np.testing.assert_allclose(weights[0, 2], expected, atol=1e-6)


def test_padding_has_no_weight_and_changes_none():
    evidence = TokenEvidence(make_classifier())
    _, weights = map(np.asarray, evidence(TOKEN_IDS))
    assert not weights[TOKEN_IDS == 0].any()
    assert weights[TOKEN_IDS != 0].all()
    _, padded = map(np.asarray, evidence(np.pad(TOKEN_IDS, [(0, 0), (0, 7)])))
    np.testing.assert_allclose(padded, np.pad(weights, [(0, 0), (0, 7)]), atol=1e-6)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method:UserWarning")
@pytest.mark.parametrize(
    "dtype", ["mixed_float16", "mixed_bfloat16", pytest.param("int8", marks=pytest.mark.slow)]
)
def test_weights_add_up_but_for_rounding_in_lower_precision(dtype):
    options = {"dtype": dtype} if dtype.startswith("mixed") else {}
    classifier = make_classifier(**options)
    if dtype == "int8":
        classifier.quantize("int8")
    probabilities, weights = map(np.asarray, TokenEvidence(classifier)(TOKEN_IDS))
    bias = centred(np.asarray(classifier.get_layer("probabilities").bias))
    constants = bias[probabilities.argmax(-1)]
    np.testing.assert_allclose(weights.sum(-1) + constants, log_odds(probabilities), atol=0.02)


def test_an_empty_batch():
    probabilities, weights = TokenEvidence(make_classifier())(TOKEN_IDS[:0])
    assert tuple(probabilities.shape) == (0, 3)
    assert tuple(weights.shape) == (0, 8)
