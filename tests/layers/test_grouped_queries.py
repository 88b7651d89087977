"""num_key_value_heads: heads of keys and values that several query heads share."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.layers import CombinerAttention
from tests.every_pair import every_pair

BATCH, LENGTH, FEATURES = 2, 13, 8


def tokens(seed=0, length=LENGTH):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(BATCH, length, FEATURES)).astype("float32")


def built(layer, seed=0):
    layer.build((None, None, FEATURES), (None, None, FEATURES))
    generator = np.random.default_rng(seed)
    layer.set_weights([generator.normal(size=w.shape) * 0.5 for w in layer.weights])
    return layer


@every_pair(
    options={"plain": {}, "gate": {"use_gate": True}, "no bias": {"use_bias": False}},
    causal=[False, True],
    key_heads=[1, 2, 4],
)
def test_equals_grouped_query_attention(options, causal, key_heads):
    theirs = built(
        keras.layers.GroupQueryAttention(
            head_dim=6, num_query_heads=4, num_key_value_heads=key_heads, **options
        )
    )
    ours = CombinerAttention(4, 6, num_key_value_heads=key_heads, **options, block_size=LENGTH)
    ours.build((None, None, FEATURES), (None, None, FEATURES))
    assert [w.path.split("/", 1)[1] for w in ours.weights] == [
        w.path.split("/", 1)[1] for w in theirs.weights
    ]
    ours.set_weights(theirs.get_weights())
    arguments = (tokens(1), tokens(2), tokens(3))
    call = {"use_causal_mask": causal, "return_attention_scores": True}
    outputs, scores = ours(*arguments, **call)
    expected = theirs(*arguments, use_causal_mask=causal)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    assert scores.shape == (BATCH, 4, LENGTH, LENGTH)
    mask = np.arange(LENGTH) < np.array([[LENGTH], [5]])
    outputs = ours(*arguments, attention_mask=mask, use_causal_mask=causal)
    expected = theirs(*arguments, attention_mask=mask[:, np.newaxis], use_causal_mask=causal)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize("summary", ["max", "variational"])
@pytest.mark.parametrize("rotary", [False, True])
def test_equals_a_full_layer_with_repeated_kernels(summary, rotary):
    options = {"value_dim": 3, "block_size": 4, "summary": summary, "rotary": rotary}
    grouped = built(CombinerAttention(6, 4, **options, num_key_value_heads=2))
    full = built(CombinerAttention(6, 4, **options), seed=1)
    weights = dict(
        zip((w.path.split("/", 1)[1] for w in grouped.weights), grouped.weights, strict=True)
    )
    assert weights["key/kernel"].shape == (FEATURES, 2, 4)
    assert weights["value/kernel"].shape == (FEATURES, 2, 3)
    assert weights["value/bias"].shape == (2, 3)
    assert weights["query/kernel"].shape == (FEATURES, 6, 4)
    assert weights["attention_output/kernel"].shape == (6, 3, FEATURES)
    for weight in full.weights:
        name = weight.path.split("/", 1)[1]
        value = weights[name].numpy()
        if name.startswith(("key", "value")):
            value = np.repeat(value, 3, axis=value.ndim - 2)
        weight.assign(value)
    np.testing.assert_allclose(grouped(tokens(), tokens()), full(tokens(), tokens()), atol=1e-5)


def test_as_many_heads_is_the_plain_layer():
    plain = built(CombinerAttention(2, 4, block_size=4))
    grouped = built(CombinerAttention(2, 4, block_size=4, num_key_value_heads=2))
    np.testing.assert_array_equal(grouped(tokens(), tokens()), plain(tokens(), tokens()))


def test_dynamic_shapes_and_training():
    layer = built(CombinerAttention(4, 4, block_size=4, num_key_value_heads=2, rotary=True))
    signature = [tf.TensorSpec([None, None, FEATURES])]
    dynamic = tf.function(lambda x: layer(x, x), input_signature=signature)
    for length in (1, 4, 13):
        x = tokens(length=length)
        np.testing.assert_allclose(dynamic(x), layer(x, x), atol=1e-5)
    x = keras.Input((None, FEATURES))
    model = keras.Model(x, layer(x, x))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    losses = model.fit(tokens(), tokens(1), epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
