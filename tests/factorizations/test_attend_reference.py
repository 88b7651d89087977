"""attend() of "fixed" with blocks of any size against the dense float64 reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.factorizations.summaries import SUMMARIES
from tests import reference
from tests.factorizations.plans import learned_fixed


def check(plan, query, key, value, mask, causal, summary, tolerance=1e-5):
    arguments = (plan, query, key, value, mask, causal, summary)
    expected_outputs, expected_scores = reference.attend(*arguments)
    outputs, scores = plan.attend(*arguments[1:], return_attention_scores=True)
    np.testing.assert_allclose(outputs, expected_outputs, atol=tolerance)
    np.testing.assert_allclose(scores, expected_scores, atol=tolerance)
    alone = plan.attend(*arguments[1:])
    np.testing.assert_allclose(alone, outputs, atol=1e-6, err_msg="asking for scores matters")
    return np.array(outputs), np.array(scores)


# Every summary in one direction or the other; the slow tests have both.
@pytest.mark.parametrize(
    ("causal", "summary"),
    [
        pytest.param(causal, summary, marks=() if i % 2 == causal else pytest.mark.slow)
        for i, summary in enumerate(SUMMARIES)
        for causal in (False, True)
    ],
)
def test_equals_the_reference_at_length_1000(causal, summary):
    query, key, value = reference.heads((1, 1, 1000, 8), seed=3)
    mask = reference.padding_mask("scattered", 1, 1000, seed=3)
    check(learned_fixed(32), query, key, value, mask, causal, summary)


@st.composite
def problems(draw):
    shape = tuple(draw(st.integers(1, high)) for high in (2, 2, 25, 5))
    mask = draw(st.none() | st.integers(0, 2**32 - 1))
    if mask is not None:
        generator = np.random.default_rng(mask)
        mask = generator.random((shape[0], shape[2])) < generator.choice([0.1, 0.5, 0.9])
    return {
        "plan": learned_fixed(draw(st.integers(1, 30))),
        "heads": reference.heads(shape, draw(st.integers(1, 5)), draw(st.integers(0, 2**32 - 1))),
        "mask": mask,
        "causal": draw(st.booleans()),
        "summary": draw(st.sampled_from(SUMMARIES)),
    }


@given(problems())
def test_any_shape_and_mask_equals_the_reference(problem):
    plan, (query, key, value), mask = problem["plan"], problem["heads"], problem["mask"]
    causal, summary = problem["causal"], problem["summary"]
    outputs, scores = check(plan, query, key, value, mask, causal, summary)
    batch, _, length, _ = query.shape
    counts = np.ones((batch, length), bool) if mask is None else mask
    # What a query may see at all, whatever the plan.
    visible = np.broadcast_to(counts[:, None, None, :], scores.shape)
    if causal:
        visible = visible & np.tri(length, dtype=bool)
    assert scores.min() >= 0
    assert not scores[~visible].any()
    assert (scores[visible] > 0).all(), "every token of the support keeps a weight"
    has_support = visible.any(-1)
    np.testing.assert_allclose(scores.sum(-1), has_support, atol=1e-5)
    np.testing.assert_allclose(outputs, scores @ value, atol=1e-5)
    assert not outputs[~has_support].any()


@pytest.mark.parametrize("summary", SUMMARIES)
def test_all_tokens_alike_are_averaged(summary):
    # Uniform local weights: by "variational" and "gaussian" a part counts as its tokens do, one by
    # one; by the others it counts as one token.
    query, key, value = reference.heads((1, 1, 9, 2))
    _, scores = learned_fixed(3).attend(
        query * 0, key * 0, value, summary=summary, return_attention_scores=True
    )
    one_by_one = summary in ("variational", "gaussian")
    own = 1 / 9 if one_by_one else 1 / 5
    other = 1 / 9 if one_by_one else 1 / 15
    expected = np.where(np.kron(np.eye(3), np.ones((3, 3))) == 1, own, other)
    np.testing.assert_allclose(np.array(scores)[0, 0], expected, atol=1e-6)


def test_mask_may_hold_zeros_and_ones_of_any_dtype():
    query, key, value = reference.heads((2, 1, 9, 2))
    mask = reference.padding_mask("scattered", 2, 9)
    expected = learned_fixed(4).attend(query, key, value, padding_mask=mask)
    for dtype in ("int32", "float32"):
        outputs = learned_fixed(4).attend(query, key, value, padding_mask=mask.astype(dtype))
        np.testing.assert_array_equal(outputs, expected)


def test_unknown_summary_is_refused():
    query, key, value = reference.heads((1, 1, 4, 2))
    with pytest.raises(ValueError, match="`summary` must be one of"):
        learned_fixed(2).attend(query, key, value, summary="median")


def test_dropout_is_applied_to_the_joint_weights_but_not_to_the_scores():
    query, key, value = reference.heads((1, 2, 9, 2))
    seen = []

    def drop_everything(weights):
        seen.append(tuple(weights.shape))
        return weights * 0

    outputs, scores = learned_fixed(4).attend(
        query, key, value, dropout=drop_everything, return_attention_scores=True
    )
    assert seen == [(2, 3, 4, 4), (2, 3, 4, 3)]  # direct tokens, parts
    assert not np.array(outputs).any()
    _, expected = learned_fixed(4).attend(query, key, value, return_attention_scores=True)
    np.testing.assert_array_equal(scores, expected)
