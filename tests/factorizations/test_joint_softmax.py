import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.factorizations.softmax import MOST_ABOVE, joint_softmax, masked_softmax
from keras_combiner.factorizations.terms import Term


def softmax64(logits, mask):
    """Row-wise in float64; rows without an entry that counts are zero."""
    logits = np.where(mask, logits.astype("float64"), -np.inf)
    largest = np.max(logits, -1, keepdims=True)
    weights = np.exp(logits - np.where(np.isfinite(largest), largest, 0.0))
    total = weights.sum(-1, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)


def test_one_softmax_over_both_terms():
    first, second = joint_softmax(
        [Term(np.log(np.array([[1.0, 2.0]]))), Term(np.log(np.array([[5.0]])))]
    )
    np.testing.assert_allclose(first, [[1 / 8, 2 / 8]], rtol=1e-6)
    np.testing.assert_allclose(second, [[5 / 8]], rtol=1e-6)


def test_masked_entries_weigh_exactly_zero_whatever_they_hold():
    logits = np.array([[0.0, 3e38, -3e38, 0.0]], "float32")
    weights = masked_softmax(logits, np.array([True, False, False, True]))
    assert np.array(weights).tolist() == [[0.5, 0.0, 0.0, 0.5]]


def test_large_masked_logits_do_not_push_valid_ones_to_zero():
    valid = np.array([[-1e4, -1e4 - 1]], "float32")
    masked = np.array([[1e4, 3e38]], "float32")
    first, second = joint_softmax([Term(valid), Term(masked, np.zeros((1, 2), bool))])
    np.testing.assert_allclose(first, softmax64(valid, True), atol=1e-6)
    assert not np.array(second).any()
    mask = np.array([[True, True, False, False]])
    together = masked_softmax(np.concatenate([valid, masked], 1), mask)
    np.testing.assert_allclose(np.array(together)[:, :2], softmax64(valid, True), atol=1e-6)


def test_a_bias_is_added_to_logits():
    generator = np.random.default_rng(0)
    first, second = (generator.normal(size=(4, n)).astype("float32") for n in (3, 5))
    bias = 4.0 * generator.random((1, 5), dtype="float32")
    mask = np.array([[True, False, True, True, False]])
    results = joint_softmax([Term(first), Term(second, mask, bias)])
    both = np.concatenate([first, second + bias], 1)
    expected = softmax64(both, np.concatenate([np.ones((1, 3), bool), mask], 1))
    np.testing.assert_allclose(np.concatenate(results, 1), expected, atol=1e-6)


def test_masked_logits_that_cannot_dominate_need_no_fill():
    logits = np.array([[2.0, 1.0, 2.0]], "float32")
    mask = np.array([[True, True, False]])
    term = Term(logits, mask, masked_cannot_dominate=True)
    for weights in joint_softmax([term, term]):
        np.testing.assert_allclose(weights, softmax64(logits, mask) / 2, atol=1e-6)


def test_empty_rows_give_zeros():
    logits = np.array([[5.0, -7.0]], "float32")
    empty = np.zeros((1, 2), bool)
    for weights in joint_softmax([Term(logits, empty)] * 2):
        assert np.array(weights).tolist() == [[0.0, 0.0]]
    assert np.array(masked_softmax(logits, empty)).tolist() == [[0.0, 0.0]]


def test_one_entry_is_certain_or_left_out_and_teaches_nothing():
    logits = tf.Variable([[5.0], [-3e4], [7.0]])
    mask = np.array([[True], [True], [False]])
    with tf.GradientTape() as tape:
        weights = masked_softmax(logits, mask)
    assert np.array(weights).tolist() == [[1.0], [1.0], [0.0]]
    assert tape.gradient(weights, logits).numpy().tolist() == [[0.0]] * 3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_are_float32(dtype):
    weights = masked_softmax(tf.zeros((1, 3), dtype))
    assert weights.dtype == tf.float32
    np.testing.assert_allclose(weights, np.full((1, 3), 1 / 3), rtol=1e-6)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from([(True, True), (True, False), (False, True), (False, False)]),
    st.sampled_from([1.0, 30.0]),
)
def test_equals_softmax_over_the_entries_that_count(seed, first, second, masked, scale):
    generator = np.random.default_rng(seed)
    sizes = (first, second)
    logits = [(scale * generator.normal(size=(4, n))).astype("float32") for n in sizes]
    masks = [
        generator.random((4, n)) < 0.5 if has_mask else None
        for n, has_mask in zip(sizes, masked, strict=True)
    ]
    results = joint_softmax([Term(*each) for each in zip(logits, masks, strict=True)])
    all_masks = [
        np.ones(x.shape, bool) if mask is None else mask
        for x, mask in zip(logits, masks, strict=True)
    ]
    expected = softmax64(np.concatenate(logits, 1), np.concatenate(all_masks, 1))
    np.testing.assert_allclose(np.concatenate(results, 1), expected, atol=2e-6)


def test_gradient_is_that_of_the_definition():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(3, 6)).astype("float32")
    mask = np.array([[1, 1, 0, 1, 0, 1], [0, 0, 0, 0, 1, 0], [0] * 6], bool)
    upstream = generator.normal(size=(3, 6)).astype("float32")
    x = tf.Variable(logits)
    with tf.GradientTape() as tape:
        first, second = joint_softmax([Term(x[:, :4], mask[:, :4]), Term(x[:, 4:], mask[:, 4:])])
        loss = tf.reduce_sum(tf.concat([first, second], 1) * upstream)
    weights = softmax64(logits, mask)
    expected = weights * (upstream - np.sum(weights * upstream, -1, keepdims=True))
    gradient = tape.gradient(loss, x).numpy()
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    assert not gradient[~mask].any()
    # One entry that counts is certain: nothing to learn. An empty row teaches nothing either.
    np.testing.assert_allclose(gradient[1:], 0, atol=1e-7)


@pytest.mark.parametrize("above", [-5.0, 0.0, MOST_ABOVE])
def test_masked_logits_up_to_the_most_above_need_no_fill(above):
    logits = np.array([[1.0, 2.0]], "float32")
    masked = np.array([[2.0 + above, 0.0]], "float32")
    first = Term(logits)
    second = Term(masked, np.array([[False, False]]), masked_cannot_dominate=True)
    direct, parts = joint_softmax([first, second])
    np.testing.assert_allclose(direct, softmax64(logits, np.ones((1, 2), bool)), rtol=1e-6)
    assert not np.array(parts).any()
