"""What must not matter to "fixed" does not: padding, the rest of the batch, dynamic shapes."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.factorizations.summaries import SUMMARIES
from tests import reference
from tests.factorizations.plans import learned_fixed

summaries = pytest.mark.parametrize("summary", SUMMARIES)
both_ways = pytest.mark.parametrize("causal", [False, True])


@given(
    st.integers(1, 20),
    st.integers(1, 24),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from(SUMMARIES),
)
def test_how_much_right_padding_there_is_does_not_matter(length, more, size, causal, summary):
    arrays = reference.heads((1, 2, length, 3), seed=length)
    expected = learned_fixed(size).attend(*arrays, causal=causal, summary=summary)
    padded = [np.pad(x, [(0, 0), (0, 0), (0, more), (0, 0)], constant_values=7.0) for x in arrays]
    mask = np.arange(length + more)[np.newaxis] < length
    outputs = learned_fixed(size).attend(*padded, padding_mask=mask, causal=causal, summary=summary)
    np.testing.assert_allclose(np.array(outputs)[:, :, :length], expected, atol=1e-5)


@summaries
def test_without_causality_everything_is_seen(summary):
    # The twin of "the future does not leak", which would pass if nothing ever moved.
    arrays = reference.heads((1, 1, 19, 4))
    before = np.array(learned_fixed(4).attend(*arrays, summary=summary))
    moved = [x.copy() for x in arrays]
    moved[2][:, :, 18] += 1
    after = np.array(learned_fixed(4).attend(*moved, summary=summary))
    assert (np.abs(after - before).max(-1) > 1e-6).all()


@summaries
@both_ways
def test_documents_and_heads_do_not_see_each_other(causal, summary):
    arrays = reference.heads((3, 2, 13, 4))
    mask = reference.padding_mask("scattered", 3, 13)
    options = {"causal": causal, "summary": summary}
    together = np.array(learned_fixed(4).attend(*arrays, padding_mask=mask, **options))
    for b in range(3):
        for h in range(2):
            alone = [x[b : b + 1, h : h + 1] for x in arrays]
            outputs = learned_fixed(4).attend(*alone, padding_mask=mask[b : b + 1], **options)
            np.testing.assert_allclose(outputs[0, 0], together[b, h], atol=1e-6)


@pytest.mark.parametrize(
    "summary",
    [x if x == "gaussian" else pytest.param(x, marks=pytest.mark.slow) for x in SUMMARIES],
)
@both_ways
@pytest.mark.parametrize("masked", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize(
    "plan",
    [
        learned_fixed(4),
        learned_fixed(4, part_size=2, neighbors=1),
        learned_fixed(4, first_blocks=3),
    ],
)
def test_dynamic_length_equals_static(plan, masked, causal, summary):
    def attend(query, key, value, mask=None):
        return plan.attend(
            query,
            key,
            value,
            padding_mask=mask,
            causal=causal,
            summary=summary,
            return_attention_scores=True,
        )

    signature = [tf.TensorSpec([None, 2, None, 3])] * 2 + [tf.TensorSpec([None, 2, None, 5])]
    if masked:
        signature.append(tf.TensorSpec([None, None], tf.bool))
    dynamic = tf.function(attend, input_signature=signature, autograph=False)
    for length in (1, 3, 4, 5, 16, 23):
        arguments = list(reference.heads((2, 2, length, 3), value_dim=5))
        if masked:
            arguments.append(reference.padding_mask("all", 2, length))
        for received, expected in zip(dynamic(*arguments), attend(*arguments), strict=True):
            assert received.shape == expected.shape
            np.testing.assert_allclose(received, expected, atol=1e-5)
    assert dynamic.experimental_get_tracing_count() == 1
    assert dynamic.get_concrete_function().structured_outputs[0].shape.as_list()[1::2] == [2, 5]


@pytest.mark.slow
@both_ways
def test_nothing_in_nothing_out_of_a_graph_for_any_length(causal):
    # A server may be handed an empty batch, whose padded rows have length 0. Users' functions go
    # through AutoGraph, as this one does.
    @tf.function(
        input_signature=[tf.TensorSpec([None, 2, None, 3])] * 3
        + [tf.TensorSpec([None, None], "bool")]
    )
    def attend(query, key, value, mask):
        return learned_fixed(4).attend(query, key, value, padding_mask=mask, causal=causal)

    for shape in ((0, 2, 7, 3), (2, 2, 0, 3), (0, 2, 0, 3)):
        arrays = [np.zeros(shape, "float32")] * 3
        assert attend(*arrays, np.zeros((shape[0], shape[2]), bool)).shape == shape
