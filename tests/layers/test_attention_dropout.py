"""Dropout of attention: when, of what, by which seed, and that the expectation stays."""

import numpy as np

from keras_combiner.layers import CombinerAttention
from tests.layers.attention_layer import FEATURES, built, tokens


def test_dropout_is_off_at_inference_and_on_in_training():
    layer, without = built(dropout=0.5, seed=1), built()
    without.set_weights(layer.get_weights()[: len(without.weights)])
    expected = without(tokens(), tokens())
    for training in (False, None):
        outputs = layer(tokens(), tokens(), training=training)
        np.testing.assert_array_equal(outputs, expected)
    first, second = (np.array(layer(tokens(), tokens(), training=True)) for _ in range(2))
    assert np.abs(first - expected).max() > 1e-2
    assert np.abs(first - second).max() > 1e-2


def seeded(seed):
    layer = CombinerAttention(2, 4, block_size=4, dropout=0.5, seed=seed)
    layer.build((None, None, FEATURES), (None, None, FEATURES))
    generator = np.random.default_rng(0)
    for weight in layer.trainable_weights:
        weight.assign(generator.normal(size=weight.shape) * 0.5)
    return layer


def test_dropout_follows_its_seed():
    first, second, other = (seeded(seed) for seed in (7, 7, 8))
    results = [np.array(x(tokens(), tokens(), training=True)) for x in (first, second, other)]
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 1e-2


def test_dropout_keeps_the_expectation():
    layer = CombinerAttention(2, 4, block_size=4, dropout=0.3, seed=3, summary="mean")
    x = tokens(batch=1)
    copies = np.repeat(x, 4000, axis=0)
    expected = np.array(layer(x, x))
    outputs = np.array(layer(copies, copies, training=True))
    error = outputs.std(0) / np.sqrt(len(copies))
    assert (np.abs(outputs.mean(0) - expected[0]) < 5 * error + 1e-6).all()
    assert outputs.std(0).min() > 0


def test_dropout_reaches_direct_tokens_and_parts():
    # Values of one: each output is the sum of the weights that dropout left over.
    layer = CombinerAttention(
        1,
        1,
        block_size=4,
        summary="max",  # parts count as one token each
        dropout=0.5,
        seed=0,
        use_bias=False,
        kernel_initializer="ones",
    )
    x = np.ones((1, 40, 1), "float32")
    assert np.unique(np.array(layer(x, x)).round(5)).tolist() == [1]
    # 4 direct tokens and 9 parts of equal weight, each 0 or 2/13.
    counts = np.array(layer(x, x, training=True)).ravel() * 13 / 2
    np.testing.assert_allclose(counts, counts.round(), atol=1e-4)
    assert len(set(counts.round())) > 3


def test_scores_are_those_before_dropout():
    layer = seeded(1)
    _, expected = layer(tokens(), tokens(), return_attention_scores=True)
    _, scores = layer(tokens(), tokens(), return_attention_scores=True, training=True)
    np.testing.assert_array_equal(scores, expected)
    np.testing.assert_allclose(np.array(scores).sum(-1), 1, atol=1e-5)
