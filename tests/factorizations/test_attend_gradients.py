"""Gradients of "fixed" where parts hold one token or padding is large."""

import numpy as np
import pytest

from keras_combiner.factorizations.summaries import SUMMARIES
from tests import reference
from tests.every_pair import every_pair
from tests.factorizations.gradients import check_gradients, gradients
from tests.factorizations.plans import learned_fixed


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("summary", SUMMARIES)
def test_gradients_of_a_part_with_one_token(summary, sign):
    # The tail block has one token; what fills the block up (zeros) is larger or smaller.
    query, key, value = reference.heads((1, 1, 5, 2), seed=4)
    query[:, :, 4], key[:, :, 4] = sign * 1.5, sign * 2.0
    check_gradients(learned_fixed(4), (query, key, value), None, False, summary)


@every_pair(sign=[-1, 1], summary=SUMMARIES, causal=[False, True])
def test_gradients_of_a_part_with_one_token_that_counts(causal, summary, sign):
    query, key, value = reference.heads((1, 1, 8, 2), seed=5)
    query[:, :, 1], key[:, :, 1] = sign * 3.0, sign * 3.0  # beyond all the padding beside it
    mask = np.array([[False, True, False, False, True, True, True, True]])
    check_gradients(learned_fixed(4), (query, key, value), mask, causal, summary)


@pytest.mark.parametrize("summary", SUMMARIES)
@pytest.mark.parametrize("causal", [False, True])
def test_gradients_do_not_depend_on_what_padding_holds(causal, summary):
    arrays = reference.heads((2, 2, 19, 3), seed=6)
    mask = reference.padding_mask("scattered", 2, 19, seed=6)
    mask[0, 8:12] = [False, True, False, False]
    padding = np.broadcast_to(~mask[:, np.newaxis, :, np.newaxis], arrays[0].shape)
    upstream = np.where(padding, 0, np.random.default_rng(0).normal(size=padding.shape))
    upstream = upstream.astype("float32")
    results = []
    for fill in (0.0, 1e4, -1e4):
        filled = [np.where(padding, np.float32(fill), x) for x in arrays]
        results.append(gradients(learned_fixed(4), filled, upstream, mask, causal, summary))
    for other in results[1:]:
        for name, first, second in zip(("query", "key", "value"), results[0], other, strict=True):
            np.testing.assert_allclose(first, second, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("length", [12, 13, 14])
@pytest.mark.parametrize("summary", SUMMARIES)
def test_gradients_do_not_depend_on_how_much_padding_there_is(summary, length):
    arrays = reference.heads((1, 2, length, 3), seed=8)
    upstream = np.random.default_rng(1).normal(size=arrays[2].shape).astype("float32")
    expected = gradients(learned_fixed(4), arrays, upstream, None, False, summary)
    for more in (1, 3, 9):
        wider = [(0, 0), (0, 0), (0, more), (0, 0)]
        padded = [np.pad(x, wider, constant_values=0.5) for x in arrays]
        mask = np.arange(length + more)[np.newaxis] < length
        received = gradients(
            learned_fixed(4), padded, np.pad(upstream, wider), mask, causal=False, summary=summary
        )
        for name, first, second in zip(("query", "key", "value"), expected, received, strict=True):
            np.testing.assert_allclose(first, second[:, :, :length], atol=1e-5, err_msg=name)
