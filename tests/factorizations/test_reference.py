"""The judge judged: literals worked out by hand, so that it cannot be wrong together with us."""

import numpy as np
import pytest

from keras_combiner.factorizations import Fixed
from tests import reference


def one_head(*rows):
    return np.array(rows, "float64").T[np.newaxis, np.newaxis]


# Four tokens in blocks of two. Keys 0, ln 2 make the first part's tokens weigh 1 : 2.
QUERY = one_head([1, 1, 1, 1])
KEY = one_head([0, np.log(2), 0, 0])
ROOT = np.sqrt(2)
MORE = np.exp(np.log(2) ** 2 / 9)
# Row 2 attends to tokens 2 and 3 directly (logits 0, 0), and to the part {0, 1}.
ROW_2 = {
    "max": np.array([2 / 3, 4 / 3, 1, 1]) / 4,  # the part's logit is ln 2
    "mean": np.array([ROOT / 3, ROOT * 2 / 3, 1, 1]) / (2 + ROOT),  # ln 2 / 2
    "variational": np.array([1, 2, 1, 1]) / 5,  # ln 3, the part's true mass: plain softmax
    # Half the variance of its keys more, which is 2/9 of (ln 2)^2.
    "gaussian": np.array([MORE, 2 * MORE, 1, 1]) / (2 + 3 * MORE),
}


@pytest.mark.parametrize("summary", ROW_2)
@pytest.mark.parametrize("causal", [False, True])
def test_matches_a_hand_computed_row(summary, causal):
    value = one_head([1, 0, 0, 0], [0, 1, 0, 0])
    outputs, scores = reference.attend(Fixed(2), QUERY, KEY, value, None, causal, summary)
    expected = ROW_2[summary].copy()
    if causal:  # token 3 is gone, the others keep their proportions
        expected[3] = 0
        expected /= expected.sum()
    np.testing.assert_allclose(scores[0, 0, 2], expected, atol=1e-12)
    np.testing.assert_allclose(outputs[0, 0, 2], expected[:2], atol=1e-12)


@pytest.mark.parametrize("summary", ROW_2)
def test_masked_token_is_left_out_of_part_and_row(summary):
    mask = np.array([[False, True, True, True]])
    _, scores = reference.attend(Fixed(2), QUERY, KEY, KEY, mask, summary=summary)
    # A part of one token is that token: weights 2 : 1 : 1 by every summary.
    np.testing.assert_allclose(scores[0, 0, 2], [0, 1 / 2, 1 / 4, 1 / 4], atol=1e-12)


def test_one_block_is_softmax_attention():
    query, key, value = reference.heads((1, 1, 7, 3))
    logits = (query[0, 0].astype("float64") @ key[0, 0].T) / np.sqrt(3)
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    outputs, scores = reference.attend(Fixed(7), query, key, value)
    np.testing.assert_allclose(scores[0, 0], weights, atol=1e-7)
    np.testing.assert_allclose(outputs[0, 0], weights @ value[0, 0], atol=1e-6)


@pytest.mark.parametrize("kind", reference.PADDINGS)
def test_padding_masks_are_what_they_say(kind):
    mask = reference.padding_mask(kind, 3, 10)
    if kind == "none":
        assert mask is None
        return
    assert mask.shape == (3, 10)
    assert mask[:2].any(axis=1).all()
    assert not mask.all()
    assert mask[2].any() == (kind != "all")
