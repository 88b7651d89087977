"""Which examples share a batch: little padding, nothing lost, and the same again at any time."""

import itertools

import numpy as np
import pytest

from keras_combiner.batches.batch_plan import BatchPlan
from keras_combiner.batches.length_buckets import choose_lengths


def log_normal(count, sigma=1.0, longest=4096, seed=0):
    """Token counts as documents have them: many short ones, a long tail that is cut."""
    lengths = np.random.default_rng(seed).lognormal(np.log(800), sigma, count)
    return np.clip(lengths.astype(int), 3, longest)


def places(plan, epoch):
    """Places of the examples of every batch of an epoch, and the batch's length."""
    return [
        (number * plan.pool_size + rows, length)
        for number in range(plan.num_pools)
        for rows, length in plan.pool(epoch, number)
    ]


@pytest.mark.parametrize("pool_size", [None, 4096])
@pytest.mark.parametrize("sigma", [0.5, 0.8, 1.0, 1.3])
@pytest.mark.parametrize("count", [500, 20_000])
def test_padding_of_a_log_normal_mix_is_under_15_percent(count, sigma, pool_size):
    lengths = log_normal(count, sigma)
    plan = BatchPlan(lengths, 4096, batch_size=16, pool_size=pool_size)
    assert plan.padding() < 0.15
    assert len(plan.lengths) <= 12
    padded = sum(len(rows) * length for rows, length in places(plan, 0))
    assert plan.padding() == pytest.approx(1 - lengths.sum() / padded)
    # Without: every batch as long as its longest document.
    order = np.random.default_rng(0).permutation(lengths)
    naive = sum(16 * order[i : i + 16].max() for i in range(0, count - 15, 16))
    assert 1 - lengths.sum() / naive > 0.35


@pytest.mark.parametrize("order", ["shuffled", "grouped", "given"])
@pytest.mark.parametrize(("count", "pool_size"), [(1, None), (100, None), (103, 32), (96, 32)])
def test_every_example_is_in_one_batch_that_it_fits(order, count, pool_size):
    lengths = log_normal(count)
    plan = BatchPlan(lengths, 4096, batch_size=8, pool_size=pool_size, order=order)
    batches = places(plan, epoch=3)
    assert len(batches) == len(plan) == -(-count // 8)
    assert sorted(np.concatenate([rows for rows, _ in batches])) == list(range(count))
    assert sum(len(rows) < 8 for rows, _ in batches) == (count % 8 > 0)
    for rows, length in batches:
        assert length in plan.lengths
        assert lengths[rows].max() <= length
    if order == "given":
        assert [x for rows, _ in batches for x in rows] == list(range(count))
    assert sorted(plan.order()) == list(range(count))


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(0, []), (1, [1]), (3, [3]), (8, [8]), (9, [9]), (10, [10]), (11, [8, 3]), (17, [8, 9])],
)
def test_too_few_that_are_left_over_are_in_the_batch_before(count, sizes):
    plan = BatchPlan(np.arange(count) + 3, 4096, batch_size=8, fewest=3)
    batches = places(plan, epoch=3)
    assert len(plan) == len(batches)
    assert sorted(len(rows) for rows, _ in batches) == sorted(sizes)
    assert sorted(x for rows, _ in batches for x in rows) == list(range(count))


def test_batches_are_a_function_of_seed_and_epoch():
    def batches(seed, epoch):
        plan = BatchPlan(log_normal(200), 4096, batch_size=8, pool_size=64, seed=seed)
        return [(rows.tolist(), length) for rows, length in places(plan, epoch)]

    assert batches(1, 2) == batches(1, 2)
    assert len({str(batches(*x)) for x in itertools.product((1, 2), (0, 1))}) == 4


def test_a_pool_is_shuffled_whatever_is_in_the_others():
    lengths = log_normal(128)
    plan = BatchPlan(lengths, 4096, batch_size=8, pool_size=64)
    last = [rows.tolist() for rows, _ in plan.pool(0, 1)]
    assert [rows.tolist() for rows, _ in plan.pool(0, 1)] == last
    assert [rows.tolist() for rows, _ in plan.pool(0, 0)] != last


def test_no_examples_no_batches():
    plan = BatchPlan(np.zeros(0, int), 64, batch_size=8)
    assert (len(plan), plan.padding(), plan.order().tolist()) == (0, 0.0, [])


def test_lengths_are_the_best_there_are():
    lengths = np.array([8, 8, 16, 24, 24, 24, 40, 64])
    for most in (1, 2, 3):
        ways = [np.array([*way, 64]) for way in itertools.combinations((8, 16, 24, 40), most - 1)]
        least = min(way[np.searchsorted(way, lengths)].sum() for way in ways)
        chosen = choose_lengths(lengths, 64, most)
        assert chosen[np.searchsorted(chosen, lengths)].sum() == least


@pytest.mark.parametrize("longest", [3, 24, 1000, 131_072])
def test_lengths_hold_the_longest(longest):
    lengths = np.random.default_rng(0).integers(1, longest + 1, 1000)
    chosen = choose_lengths(lengths, longest)
    assert list(chosen) == sorted(set(chosen))
    assert lengths.max() <= chosen[-1] <= longest


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"order": "random"}, "`order` must be one of"),
        ({"batch_size": 0}, "`batch_size` must be"),
        ({"fewest": 2, "pool_size": 8}, "`fewest` needs a single pool. Received: pool_size=8"),
    ],
)
def test_bad_input_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        BatchPlan(np.array([1]), 8, **{"batch_size": 1, **options})
