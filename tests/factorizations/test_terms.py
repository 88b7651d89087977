"""Terms by hand: one query, all of whose logits are zero, attends to two tokens and to a part."""

import numpy as np
import pytest
from keras import ops

from keras_combiner.factorizations import blocks, terms
from keras_combiner.factorizations.terms import block_term, direct_term, part_term

QUERY = np.zeros((1, 1, 1, 1), "float32")
DIRECT = np.array([[[[1], [3]]]], "float32")  # values of the tokens
PART = np.array([[[[5]]]], "float32")  # value of the part


def two_terms(**options):
    """Matrices of one row: tokens 0 and 1, then the part, which is as if it were a token."""
    direct = direct_term(
        QUERY,
        np.zeros_like(DIRECT),
        DIRECT,
        scores=lambda weights: np.pad(weights[0], [(0, 0), (0, 0), (0, 1)]),
    )
    part = part_term(
        QUERY,
        np.zeros_like(PART),
        PART,
        scores=lambda weights: np.pad(weights[0], [(0, 0), (0, 0), (2, 0)]),
        **options,
    )
    return [direct, part]


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({}, [1 / 3, 1 / 3, 1 / 3]),
        ({"bias": np.log(np.full((1, 1, 1, 1), 2, "float32"))}, [1 / 4, 1 / 4, 1 / 2]),
        ({"mask": np.zeros((1, 1, 1, 1), bool)}, [1 / 2, 1 / 2, 0]),
    ],
)
def test_one_softmax_mixes_all_values(options, weights):
    outputs, attention_scores = terms.attend(two_terms(**options), 3, "float32")
    np.testing.assert_allclose(outputs, [[[np.dot(weights, [1, 3, 5])]]], rtol=1e-6)
    np.testing.assert_allclose(attention_scores(), [[weights]], rtol=1e-6)


@pytest.mark.parametrize(
    ("query", "more"), [((2, 0), 2 * np.log(2)), ((0, 1), np.log(2)), ((2, 2), 4), ((99, 0), 4)]
)
def test_the_variance_of_a_part_adds_half_of_the_query_s_and_4_at_most(query, more):
    # Twice the logarithm of 2 along the second feature, half of it along the first.
    query = np.array(query, "float32").reshape(1, 1, 1, 2)
    variance = np.log(2) * np.array([[[[1, 2]]]], "float32")
    term = part_term(query, np.ones_like(query), PART, variance=variance)
    np.testing.assert_allclose(term.logits - query.sum(), [[[[more]]]], rtol=1e-6)


def test_dropout_changes_outputs_but_not_scores():
    seen = []

    def double(weights):
        seen.append(tuple(weights.shape))
        return weights * 2

    outputs, attention_scores = terms.attend(two_terms(), 3, "float32", dropout=double)
    assert seen == [(1, 1, 1, 2), (1, 1, 1, 1)]
    np.testing.assert_allclose(outputs, [[[6]]], rtol=1e-6)
    np.testing.assert_allclose(attention_scores(), [[[1 / 3] * 3]], rtol=1e-6)


@pytest.mark.parametrize(
    ("causal", "own", "expected"),
    [
        (False, True, [[1 / 2, 1 / 2, 0], [1 / 2, 1 / 2, 0], [0, 0, 1]]),
        (True, True, [[1, 0, 0], [1 / 2, 1 / 2, 0], [0, 0, 1]]),
        (False, False, [[0, 1, 0], [1, 0, 0], [0, 0, 0]]),
        (True, False, [[0, 0, 0], [1, 0, 0], [0, 0, 0]]),
    ],
)
def test_the_own_block(causal, own, expected):
    tokens = blocks.Tokens(*(ops.zeros((1, 3, 1)) for _ in "qkv")).in_blocks(2)
    term = block_term(tokens, causal, own)
    _, attention_scores = terms.attend([term], 3, "float32")
    np.testing.assert_allclose(attention_scores(), [expected], rtol=1e-6)


def test_another_layout_of_the_queries_gives_the_same():
    generator = np.random.default_rng(0)
    tokens = [generator.normal(size=(2, 6, 3)).astype("float32") for _ in "qkv"]
    term = block_term(blocks.Tokens(*tokens).in_blocks(2), causal=False)  # blocks of 2
    one_by_one = term.laid_out(
        lambda x: ops.reshape(x, (2, 6, 1, x.shape[3])),
        lambda x: ops.reshape(x, (2, 3, 2, x.shape[3])),
    )
    assert one_by_one.logits.shape == (2, 6, 1, 2)
    outputs, attention_scores = terms.attend([term], 6, "float32")
    others, other_scores = terms.attend([one_by_one], 6, "float32")
    np.testing.assert_array_equal(outputs, others)
    np.testing.assert_array_equal(attention_scores(), other_scores())
