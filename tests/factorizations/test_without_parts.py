"""summary="none": the sparse pattern that a plan comes from, with its parts left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.factorizations import Fixed, Logsparse, factorization
from tests import reference
from tests.every_pair import every_pair
from tests.factorizations.plans import LEARNED_PLANS, VARIANTS, every_plan, few_examples

both_ways = pytest.mark.parametrize("causal", [False, True])


def direct_positions(support):
    if isinstance(support, factorization.MixedSupport):
        return set().union(*(direct_positions(member) for member in support.members))
    return set(support.direct)


def check(plan, length, causal, mask=None, seed=0):
    batch = 1 if mask is None else len(mask)
    arrays = reference.heads((batch, 2, length, 4), value_dim=3, seed=seed)
    arguments = (*arrays, mask, causal, "none")
    expected = reference.attend(plan, *arguments)
    outputs, scores = plan.attend(*arguments, return_attention_scores=True)
    np.testing.assert_allclose(outputs, expected[0], atol=1e-5)
    np.testing.assert_allclose(scores, expected[1], atol=1e-5)
    counts = np.ones((batch, length), bool) if mask is None else mask
    sums = np.broadcast_to(counts[:, np.newaxis], scores.shape[:3])
    received = np.where(sums, np.sum(scores, axis=-1), 0)  # rows of padding have no meaning
    np.testing.assert_allclose(received, sums, atol=1e-5)
    if plan.depends_on_keys:
        return  # the reference alone knows which tokens are direct
    for i, support in enumerate(plan.support(length, causal)):
        others = sorted(set(range(length)) - direct_positions(support))
        assert not np.array(scores)[:, :, i, others].any()


@every_pair(
    slow=VARIANTS, quick=1, plan=LEARNED_PLANS, causal=[False, True], length=[1, 4, 5, 16, 23]
)
def test_is_softmax_attention_over_the_direct_tokens(plan, causal, length):
    check(plan, length, causal, seed=length)
    rows = [reference.padding_mask(kind, 1, length) for kind in ("right", "left", "scattered")]
    check(plan, length, causal, mask=np.concatenate(rows), seed=length)


@every_plan
@few_examples
@given(length=st.integers(1, 40), causal=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_at_any_length(plan, length, causal, seed):
    check(plan, length, causal, seed=seed)


@every_plan
@both_ways
def test_what_is_not_direct_does_not_matter(plan, causal):
    if plan.depends_on_keys:
        pytest.skip("another key may move other tokens into other groups")
    length = 23
    query, key, value = reference.heads((1, 1, length, 4))
    supports = plan.support(length, causal)
    far = [i for i in range(length) if length - 1 not in direct_positions(supports[i])]
    assert far
    before = np.array(plan.attend(query, key, value, causal=causal, summary="none"))
    key[:, :, -1] += 100
    value[:, :, -1] += 100
    after = np.array(plan.attend(query, key, value, causal=causal, summary="none"))
    np.testing.assert_array_equal(after[:, :, far], before[:, :, far])


def test_by_hand():
    heads = np.zeros((1, 1, 5, 1), "float32")  # equal logits
    value = np.arange(5, dtype="float32").reshape((1, 1, 5, 1))
    fixed = Fixed(2).attend(heads, heads, value, summary="none")
    np.testing.assert_allclose(np.ravel(fixed), [0.5, 0.5, 2.5, 2.5, 4], atol=1e-6)
    logsparse = Logsparse().attend(heads, heads, value, causal=True, summary="none")
    np.testing.assert_allclose(np.ravel(logsparse), [0, 0.5, 2, 2.5, 4], atol=1e-6)
