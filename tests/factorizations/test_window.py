"""The plan "window" has an exact edge, sees nothing beyond it, and costs what it sees."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.factorizations import Fixed, Mixture, Window
from keras_combiner.factorizations.summaries import SUMMARIES
from keras_combiner.layers import CombinerAttention
from tests import reference
from tests.every_pair import every_pair
from tests.factorizations.gradients import check_gradients
from tests.factorizations.plans import LearnedPlan

both_ways = pytest.mark.parametrize("causal", [False, True])


def sizes(supports):
    return [len(direct) for direct, _ in supports]


def test_the_edge_by_hand():
    assert [x.direct for x in Window(3).support(5)] == [
        (0, 1),
        (0, 1, 2),
        (1, 2, 3),
        (2, 3, 4),
        (3, 4),
    ]
    assert Window(3).support(5) == Window(2).support(5)  # |i - j| <= 1, and <= 1.5
    assert [x.direct for x in Window(3).support(5, causal=True)] == [
        (0,),
        (0, 1),
        (0, 1, 2),
        (1, 2, 3),
        (2, 3, 4),
    ]
    assert sizes(Window(1).support(3)) == sizes(Window(1).support(3, causal=True)) == [1, 1, 1]
    assert sizes(Window(4).support(7)) == [3, 4, 5, 5, 5, 4, 3]


@given(
    size=st.integers(1, 40),
    length=st.integers(1, 40),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    causal=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_a_dense_mask_at_any_size(size, length, share, causal, seed):
    query, key, value = reference.heads((2, 2, length, 3), value_dim=2, seed=seed)
    counts = np.random.default_rng(seed).random((2, 1, 1, length)) < share
    distance = np.subtract.outer(np.arange(length), np.arange(length))
    near = (distance >= 0) & (distance < size) if causal else np.abs(distance) <= size / 2
    logits = query.astype("float64") @ np.swapaxes(key, 2, 3) / np.sqrt(3)
    weights = np.exp(logits) * (near & counts)
    weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-300)
    outputs, scores = Window(size).attend(
        query, key, value, counts[:, 0, 0], causal, return_attention_scores=True
    )
    np.testing.assert_allclose(scores, weights, atol=1e-5)
    np.testing.assert_allclose(outputs, weights @ value, atol=1e-5)


@both_ways
@pytest.mark.parametrize("keras_size", [1, 2, 3, 4, 7, 30])
@pytest.mark.parametrize("length", [1, 12, 23])
def test_equals_the_sliding_window_of_keras(keras_size, length, causal):
    generator = np.random.default_rng(length)
    tokens = generator.normal(size=(3, length, 8)).astype("float32")
    mask = reference.padding_mask("right", 3, length)
    full = keras.layers.MultiHeadAttention(2, 4, sliding_window=keras_size)
    near = CombinerAttention(
        2, 4, factorization=Window(keras_size if causal else 2 * keras_size - 1)
    )
    for layer in (full, near):
        layer.build(tokens.shape, tokens.shape)
    weights = [generator.normal(size=x.shape) for x in full.get_weights()]
    for layer in (full, near):
        layer.set_weights(weights)
    expected, received = (
        layer(tokens, tokens, attention_mask=x, use_causal_mask=causal)
        for layer, x in ((full, mask[:, np.newaxis]), (near, mask))
    )
    np.testing.assert_allclose(
        np.where(mask[..., np.newaxis], received, 0),
        np.where(mask[..., np.newaxis], expected, 0),
        atol=1e-5,
    )


def test_a_padding_query_without_a_token_in_reach_gives_zero():
    arrays = reference.heads((1, 1, 9, 2))
    mask = np.arange(9)[np.newaxis] < 4
    outputs = np.array(Window(4).attend(*arrays, padding_mask=mask))[0, 0]
    assert (np.abs(outputs[:6]).max(-1) > 0).all() and not outputs[6:].any()


@both_ways
@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_what_a_token_says_reaches_the_edge_and_no_further(size, causal):
    length, told = 40, 20
    arrays = reference.heads((1, 1, length, 4))
    before = np.array(Window(size).attend(*arrays, causal=causal))
    for x in arrays:
        x[:, :, told] += 3
    after = np.array(Window(size).attend(*arrays, causal=causal))
    changed = np.flatnonzero(np.abs(after - before).max((0, 1, 3)))
    reach = size // 2
    first, last = (told, told + size - 1) if causal else (told - reach, told + reach)
    assert changed.tolist() == list(range(first, last + 1))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layers_stack(layers):
    tokens = reference.heads((1, 1, 40, 4))[0]

    def stack(x):
        for _ in range(layers):
            x = np.array(Window(5).attend(x, x, x))
        return x

    before = stack(tokens)
    tokens[:, :, 20] += 3
    changed = np.flatnonzero(np.abs(stack(tokens) - before).max((0, 1, 3)))
    assert (changed[0], changed[-1]) == (20 - 2 * layers, 20 + 2 * layers)


@every_pair(size=[1, 2, 9, 64], causal=[False, True])
def test_gradients_at_any_size(size, causal):
    mask = np.array([[1, 1, 0, 1, 1, 1, 0, 0, 1, 1]], bool)
    arrays = reference.heads((1, 1, 10, 2), 1, seed=1)
    check_gradients(LearnedPlan(Window(size)), arrays, mask, causal, "max")


@every_pair(size=[1, 2, 5, 64], causal=[False, True], masked=[False, True])
def test_a_graph_for_any_length(size, causal, masked):
    @tf.function(
        input_signature=[tf.TensorSpec([None, 2, None, 3])] * 3
        + [tf.TensorSpec([None, None], "bool")],
        autograph=False,
    )
    def attend(query, key, value, mask):
        mask = mask if masked else None
        return Window(size).attend(
            query, key, value, mask, causal=causal, return_attention_scores=True
        )

    for length in (0, 1, 4, 5, 23):
        arrays = reference.heads((2, 2, length, 3))
        mask = np.arange(length) < np.array([[length], [length // 2]])
        expected = Window(size).attend(
            *arrays, mask if masked else None, causal, return_attention_scores=True
        )
        for x, y in zip(attend(*arrays, mask), expected, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-6)
    assert attend.experimental_get_tracing_count() == 1


@both_ways
def test_summaries_do_not_matter(causal):
    arrays = reference.heads((1, 2, 19, 4))
    expected = Window(5).attend(*arrays, causal=causal)
    for summary in (*SUMMARIES, "none"):
        assert not Window(5).all_weight_specs(summary, 2, 4, 4, None)
        outputs = Window(5).attend(*arrays, causal=causal, summary=summary)
        np.testing.assert_array_equal(outputs, expected)


@both_ways
def test_a_mixture_covers_what_one_of_its_plans_covers(causal):
    assert not Window(4).covers_all
    assert not Mixture([Window(4), Window(8)]).covers_all
    plan = Mixture([Window(2), Fixed(4)])
    assert plan.covers_all
    arrays = reference.heads((2, 1, 13, 4))
    mask = reference.padding_mask("scattered", 2, 13)
    received = plan.attend(*arrays, mask, causal, return_attention_scores=True)
    expected = reference.attend(plan, *arrays, mask, causal)
    for x, y in zip(received, expected, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


@pytest.mark.parametrize("length", [1, 3, 4, 5, 8, 9, 12, 13])
def test_it_knows_where_it_is_full_attention(length):
    plan = Window(8)
    everything = all(len(x.direct) == length for x in plan.support(length))
    assert plan.is_full_attention(length) is everything
    assert not plan.is_full_attention(None)
    causal = plan.support(length, causal=True)
    assert not everything or all(len(x.direct) == i + 1 for i, x in enumerate(causal))


@both_ways
def test_memory_grows_like_the_length(causal):
    def largest(length):
        heads = tf.TensorSpec([1, 2, length, 4])

        def attend(*arrays):
            with tf.GradientTape() as tape:
                tape.watch(arrays)
                outputs = Window(33).attend(*arrays, causal=causal)
            return tape.gradient(outputs, arrays)

        function = tf.function(attend, autograph=False)
        graph = function.get_concrete_function(heads, heads, heads).graph
        return max(x.shape.num_elements() for op in graph.get_operations() for x in op.outputs)

    # 2 heads, and for a query the keys of its block and its neighbors.
    assert largest(1024) == 2 * 1024 * (2 * 32 if causal else 3 * 16)
    assert largest(4096) == pytest.approx(4 * largest(1024), rel=0.02)


def test_the_cache_holds_the_window():
    cache = Window(3).initial_cache(1, 2, 4, 5, max_length=1000)
    assert {name: tuple(x.shape) for name, x in cache.items()} == {
        "capacity": (1, 2, 1000, 0),
        "key": (1, 2, 3, 4),
        "value": (1, 2, 3, 5),
    }
    assert Window(3).initial_cache(1, 2, 4, 5, max_length=2)["key"].shape[2] == 2
