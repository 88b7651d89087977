"""Associative recall: every query asks for what stood behind its key."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.datasets import generate_recall

SIZES = {"num_keys": 9, "num_values": 5, "num_fillers": 3}
KEYS, VALUES = range(4, 13), range(13, 18)  # token ids of these sizes


@given(
    pairs=st.integers(1, 9),
    queries=st.integers(1, 9),
    gap=st.integers(0, 20),
    more=st.integers(0, 20),
    seed=st.integers(0, 99),
)
def test_every_query_is_answered_by_the_sequence(pairs, queries, gap, more, seed):
    queries = min(pairs, queries)
    length = 2 * pairs + gap + queries + more
    token_ids, answers = generate_recall(7, length, pairs, queries, gap, **SIZES, seed=seed)
    assert token_ids.shape == answers.shape == (7, length)
    assert token_ids.dtype == answers.dtype == "int32"
    for row, answer in zip(token_ids.tolist(), answers.tolist(), strict=True):
        held = dict(zip(row[: 2 * pairs : 2], row[1 : 2 * pairs : 2], strict=True))
        assert len(held) == pairs, "keys are different"
        assert set(held) <= set(KEYS) and set(held.values()) <= set(VALUES)
        asked = [i for i, x in enumerate(answer) if x >= 0]
        assert len({row[i] for i in asked}) == len(asked) == queries
        assert min(asked) >= 2 * pairs + gap
        assert [answer[i] for i in asked] == [held[row[i]] - VALUES[0] for i in asked]
        others = [x for i, x in enumerate(row) if i >= 2 * pairs and i not in asked]
        assert set(others) <= {1, 2, 3}


def test_places_pairs_and_values_are_asked_for_alike():
    token_ids, answers = generate_recall(6000, 12, 3, 1, gap=2, **SIZES)
    rows, places = np.nonzero(answers >= 0)
    assert np.array_equal(rows, np.arange(6000))
    keys = token_ids[rows, places]
    pair = np.argmax(token_ids[:, 0:6:2] == keys[:, np.newaxis], axis=1)
    for found, count in ((places - 8, 4), (pair, 3), (answers[rows, places], 5), (keys - 4, 9)):
        shares = np.bincount(found, minlength=count) / 6000
        np.testing.assert_allclose(shares, np.full(count, 1 / count), atol=0.03)


def test_the_seed_is_all_that_matters():
    first, again, other = (generate_recall(5, 40, 4, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_pairs": 0}, "`num_pairs` must be an int of at least 1. Received: num_pairs=0"),
        ({"num_keys": 3}, "`num_keys` must be an int of at least 4"),
        ({"num_queries": 5}, "at most `num_pairs`"),
        ({"num_values": True}, "`num_values` must be an int of at least 2"),
        ({"gap": 9}, "4 pairs, a gap of 9 and 4 queries take 21 tokens"),
        ({"seed": 1.0}, "`seed` must be an int"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        generate_recall(**{"num_examples": 2, "length": 20, "num_pairs": 4, **options})
