"""Parts that are opened: which ones, and what they bring."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.factorizations import Fixed, opened
from keras_combiner.factorizations.summaries import SUMMARIES
from tests import reference
from tests.every_pair import every_pair
from tests.factorizations.plans import LearnedPlan

# Masses of four parts, which of them are in reach, and the two that are opened.
CHOICES = {
    "the largest": ([0.1, 0.4, 0.2, 0.3], [1, 1, 1, 1], [1, 3]),
    "the earlier of equal ones": ([0.2, 0.3, 0.3, 0.3], [1, 1, 1, 1], [1, 2]),
    "the earlier of equal ones below": ([0.2, 0.1, 0.3, 0.2], [1, 1, 1, 1], [0, 2]),
    "none out of reach": ([0.1, 0.4, 0.2, 0.3], [1, 0, 1, 0], [0, 2]),
    "all of fewer": ([0.1, 0.4, 0.2, 0.3], [0, 0, 1, 0], [2]),
    "none": ([0.1, 0.4, 0.2, 0.3], [0, 0, 0, 0], []),
    "without mass": ([0.0, 0.0, 0.0, 0.0], [0, 1, 1, 1], [1, 2]),
    "not a number": ([np.nan, 0.4, np.nan, 0.0], [0, 1, 1, 1], [1, 2]),
    "infinite": ([np.inf, 0.4, np.inf, np.inf], [1, 1, 1, 1], [0, 2]),
}


def check_choice(received, expected):
    is_opened, index, is_open = (np.array(x)[0, 0] for x in received)
    assert np.flatnonzero(is_opened).tolist() == expected
    assert index[is_open].tolist() == expected
    assert index.min() >= 0 and index.max() < len(is_opened)


@pytest.mark.parametrize("name", CHOICES)
def test_which_parts_are_opened(name):
    mass, reach, expected = CHOICES[name]
    received = opened.largest(np.array([[mass]], "float32"), np.array([[reach]], bool), 2)
    check_choice(received, expected)


@pytest.mark.parametrize(
    ("mass", "expected"), [([0.3, 0.7], [0, 1]), ([0.1, 0.4, 0.2, 0.4], [1, 2, 3])]
)
def test_which_parts_are_opened_in_a_text_of_unknown_length(mass, expected):
    @tf.function(
        input_signature=[tf.TensorSpec([1, 1, None]), tf.TensorSpec([1, 1, None], "bool")],
        autograph=False,
    )
    def largest(mass, reach):
        return opened.largest(mass, reach, 3)

    check_choice(largest(np.float32([[mass]]), np.ones((1, 1, len(mass)), bool)), expected)


@given(
    length=st.integers(1, 40),
    neighbors=st.integers(0, 1),
    seed=st.integers(0, 99),
    summary=st.sampled_from(SUMMARIES),
    group=st.sampled_from([(False, 1), (False, 2), (False, 4), (True, 1)]),
)
def test_with_all_parts_opened_it_is_softmax_attention(length, neighbors, seed, summary, group):
    causal, choice_size = group
    arrays = reference.heads((2, 1, length, 3), seed=seed)
    mask = np.random.default_rng(seed).random((2, length)) < 0.7
    plan = LearnedPlan(Fixed(4, 2, neighbors, opened=20, choice_size=choice_size))
    received = plan.attend(*arrays, mask, causal, summary, return_attention_scores=True)
    expected = Fixed(40).attend(*arrays, mask, causal, return_attention_scores=True)
    for x, y in zip(received, expected, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


def test_a_token_far_away_is_found():
    """One token of 128 fits one query, and the queries of its part do not know it."""
    length = 128
    key = np.zeros((1, 1, length, 4), "float32")
    key[0, 0, :, 0] = np.where(np.arange(length) % 2, 2.0, -2.0)
    key[0, 0, 37, 1] = 8.0
    query = np.zeros_like(key)
    query[0, 0, 100, 1] = 6.0
    value = np.eye(length, dtype="float32")[np.newaxis, np.newaxis]
    exact = np.array(Fixed(length).attend(query, key, value))[0, 0, 100, 37]
    found = {
        count: np.array(Fixed(16, 8, opened=count).attend(query, key, value))[0, 0, 100, 37]
        for count in (0, 1)
    }
    assert exact > 0.99
    assert found[1] == pytest.approx(exact, abs=1e-3)
    assert found[0] < 0.2


@every_pair(bad=[np.nan, np.inf], jit_compile=[False, True], causal=[False, True])
def test_what_is_not_finite_stays_in_its_document(bad, jit_compile, causal):
    plan = Fixed(4, part_size=2, opened=3)
    arrays = reference.heads((3, 1, 19, 4))
    expected = np.array(plan.attend(*arrays, causal=causal))
    for x in arrays:
        x[1] = bad

    @tf.function(jit_compile=jit_compile, autograph=False)
    def attend(*arrays):
        return plan.attend(*arrays, causal=causal)

    received = np.array(attend(*arrays))
    np.testing.assert_allclose(received[[0, 2]], expected[[0, 2]], atol=1e-5)


@pytest.mark.parametrize(("group_size", "opens"), [(4, 1), (1, 0)])
def test_a_causal_group_does_not_choose_for_itself(group_size, opens):
    length, causal = 12, True
    key = np.zeros((1, 1, length, 2), "float32")
    key[0, 0, :4] = [[3, 0], [2, 0], [0, 3], [0, 2]]  # two parts of two tokens
    query = np.zeros_like(key)
    query[0, 0, 4:8] = [1, 5]  # the second block wants the second part
    query[0, 0, 8:] = [5, 1]  # and the third one the first
    plan = Fixed(4, part_size=2, opened=1, choice_size=group_size)
    _, scores = plan.attend(query, key, key, causal=causal, return_attention_scores=True)
    row = np.array(scores)[0, 0, 8]
    # Closed parts share their weight evenly here, for their own queries are zero.
    ratios = [row[0] / row[1], row[2] / row[3]]
    exact = [np.exp(5 / np.sqrt(2)), np.exp(1 / np.sqrt(2))]
    expected = [exact[part] if part == opens else 1.0 for part in (0, 1)]
    np.testing.assert_allclose(ratios, expected, rtol=1e-5)


WRONG = {
    "opened": ({"opened": -1}, "`opened` must be an int of at least 0"),
    "opened, a share": ({"opened": 0.5}, "`opened` must be an int of at least 0"),
    "no int": ({"opened": 1, "choice_size": 2.0}, "`choice_size` must be an int of at least 1"),
    "no divisor": ({"opened": 1, "choice_size": 3}, "`choice_size` must divide `block_size`"),
    "nothing to choose": ({"choice_size": 2}, "Give `opened` as well"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options_are_refused(name):
    options, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        Fixed(4, **options)
