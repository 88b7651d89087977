"""With block_size >= length, CombinerAttention is keras.layers.MultiHeadAttention."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.layers import MultiHeadAttention

from keras_combiner.factorizations.summaries import SUMMARIES
from keras_combiner.layers import CombinerAttention
from tests import reference
from tests.every_pair import every_pair

BATCH, LENGTH, FEATURES = 3, 13, 8

OPTIONS = {
    "plain": {},
    "no bias": {"use_bias": False},
    "value_dim": {"value_dim": 5},
    "output_shape int": {"output_shape": 3},
    "output_shape tuple": {"output_shape": (3, 2)},
    "gate": {"use_gate": True},
    "gate without bias": {"use_gate": True, "use_bias": False, "value_dim": 3},
    "initializers": {"kernel_initializer": "he_normal", "bias_initializer": "ones"},
    "regularizers": {
        "kernel_regularizer": "l2",
        "bias_regularizer": "l1",
        "activity_regularizer": "l2",
    },
    "constraints": {"kernel_constraint": "max_norm", "bias_constraint": "non_neg"},
    "dropout at inference": {"dropout": 0.5},
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
# What changes no output of given weights, and no gradient.
ELSEWHERE = ("initializers", "constraints")
both_ways = pytest.mark.parametrize("causal", [False, True])


def tokens(seed, features=FEATURES):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(BATCH, LENGTH, features)).astype("float32")


def pair(block_size=64, summary="max", shapes=None, **options):
    """MultiHeadAttention and CombinerAttention with the same random weights."""
    theirs = MultiHeadAttention(2, 4, **options)
    ours = CombinerAttention(2, 4, **options, block_size=block_size, summary=summary)
    for layer in (theirs, ours):
        layer.build(*(shapes or [(None, None, FEATURES)] * 2))
    generator = np.random.default_rng(0)
    for weight in theirs.trainable_weights:
        weight.assign(generator.normal(size=weight.shape) * 0.5)
    learned = len(ours.weights) - len(theirs.weights)  # what a summary learns comes first
    ours.set_weights(ours.get_weights()[:learned] + theirs.get_weights())
    return theirs, ours


@every_option
def test_weights_have_the_same_names_shapes_and_order(options):
    theirs, ours = pair(**options)
    facts = [
        [(w.path.split("/", 1)[1], tuple(w.shape), w.dtype, w.trainable) for w in layer.weights]
        for layer in (theirs, ours)
    ]
    assert facts[0] == facts[1]
    assert len(facts[0]) >= 4


@every_option
def test_initial_weights_are_the_same(options):
    layers = []
    for cls in (MultiHeadAttention, CombinerAttention):
        keras.utils.set_random_seed(5)
        layers.append(cls(2, 4, **options))
        layers[-1].build((None, None, FEATURES), (None, None, FEATURES))
    for first, second in zip(*(layer.get_weights() for layer in layers), strict=True):
        np.testing.assert_array_equal(first, second)


@every_pair(
    slow=ELSEWHERE,
    options=OPTIONS,
    causal=[False, True],
    masked=[False, True],
    block_size=[LENGTH, 64],
    quick=1,
)
def test_outputs_and_scores_are_the_same(options, causal, masked, block_size):
    theirs, ours = pair(block_size, **options)
    query, value, key = tokens(1), tokens(2), tokens(3)
    call = {"use_causal_mask": causal}
    rows = np.ones((BATCH, LENGTH), bool)
    if masked:
        mask = reference.padding_mask("scattered", BATCH, LENGTH)
        call["attention_mask"] = mask[:, np.newaxis]
        # A causal query before the first token sees nothing: ours gives zeros, theirs an average.
        rows = np.logical_or.accumulate(mask, 1) if causal else rows
    for arguments in ((query, query), (query, value), (query, value, key)):
        expected, received = (np.array(layer(*arguments, **call)) for layer in (theirs, ours))
        assert expected.shape == received.shape
        np.testing.assert_allclose(received[rows], expected[rows], atol=1e-5)
        (expected, expected_scores), (received, scores) = (
            layer(*arguments, **call, return_attention_scores=True) for layer in (theirs, ours)
        )
        np.testing.assert_allclose(received.numpy()[rows], expected.numpy()[rows], atol=1e-5)
        scores, expected_scores = (np.array(x)[:, 1][rows] for x in (scores, expected_scores))
        np.testing.assert_allclose(scores, expected_scores, atol=1e-5)
    for first, second in zip(theirs.losses, ours.losses, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5)


@pytest.mark.parametrize("summary", SUMMARIES)
def test_the_summary_does_not_matter_then(summary):
    theirs, ours = pair(LENGTH, summary)
    np.testing.assert_allclose(ours(tokens(1), tokens(2)), theirs(tokens(1), tokens(2)), atol=1e-5)


def test_but_it_does_with_smaller_blocks():
    theirs, ours = pair(LENGTH - 1)
    difference = np.abs(np.array(ours(tokens(1), tokens(2))) - theirs(tokens(1), tokens(2)))
    assert difference.max() > 1e-2


def test_features_may_differ_between_query_value_and_key():
    shapes = [(None, None, features) for features in (8, 5, 3)]
    theirs, ours = pair(shapes=shapes)
    arguments = (tokens(1), tokens(2, 5), tokens(3, 3))
    np.testing.assert_allclose(ours(*arguments), theirs(*arguments), atol=1e-5)


def test_implicit_masks_mean_the_same():
    theirs, ours = pair()
    ids = np.where(reference.padding_mask("right", BATCH, LENGTH), 1, 0) * np.arange(1, LENGTH + 1)
    embedding = keras.layers.Embedding(LENGTH + 1, FEATURES, mask_zero=True)
    x = embedding(ids)
    received = np.array(ours(x, x))
    expected = np.array(theirs(embedding(ids), embedding(ids)))
    np.testing.assert_allclose(received[ids > 0], expected[ids > 0], atol=1e-5)


@every_pair(slow=ELSEWHERE, quick=1, options=OPTIONS, training=[False, True], causal=[False, True])
def test_gradients_are_the_same(options, training, causal):
    if "dropout" in options and training:
        options = {**options, "dropout": 0.0}  # two layers draw two masks
    theirs, ours = pair(**options)
    mask = reference.padding_mask("right", BATCH, LENGTH)
    upstream = None
    results = []
    for layer in (theirs, ours):
        x = tf.Variable(tokens(1))
        with tf.GradientTape() as tape:
            outputs = layer(
                x,
                x,
                attention_mask=mask[:, np.newaxis],
                use_causal_mask=causal,
                training=training,
            )
            if upstream is None:
                upstream = np.random.default_rng(9).normal(size=outputs.shape).astype("float32")
            loss = tf.reduce_mean(outputs * upstream)
        results.append(tape.gradient(loss, [x, *(w.value for w in layer.trainable_weights)]))
    for expected, received in zip(*results, strict=True):
        np.testing.assert_allclose(received, expected, atol=1e-5)
    assert max(np.abs(x).max() for x in results[0]) > 1e-3


@pytest.mark.parametrize("causal", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_training_goes_the_same_way(eager, causal):
    trained = []
    for layer in pair():
        x = keras.Input((LENGTH, FEATURES))
        model = keras.Model(x, layer(x, x, use_causal_mask=causal))
        model.compile(keras.optimizers.SGD(0.1), "mse")
        losses = model.fit(tokens(1), tokens(2), epochs=5, verbose=0, shuffle=False).history["loss"]
        trained.append((losses, model.get_weights()))
    (expected_losses, expected), (losses, received) = trained
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    for first, second in zip(received, expected, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("shape", [(0, LENGTH, FEATURES), (2, 0, FEATURES)])
def test_empty_inputs_are_taken_as_well(shape):
    for layer in pair():
        x = np.zeros(shape, "float32")
        assert layer(x, x).shape == shape


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_the_same(dtype):
    theirs, ours = pair(dtype=dtype)
    expected, received = (layer(tokens(1), tokens(2)) for layer in (theirs, ours))
    assert received.dtype == expected.dtype
    tolerance = {"mixed_float16": 1e-2, "mixed_bfloat16": 8e-2}[dtype]  # outputs up to 4
    np.testing.assert_allclose(
        tf.cast(received, "float32"), tf.cast(expected, "float32"), atol=tolerance
    )
