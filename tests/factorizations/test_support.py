import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.factorizations import Factorization, Fixed, Support


@given(st.integers(0, 60), st.integers(1, 70), st.booleans())
def test_every_position_is_covered_exactly_once(length, block_size, causal):
    supports = Fixed(block_size).support(length, causal)
    assert len(supports) == length
    for i, (direct, parts) in enumerate(supports):
        covered = sorted([*direct, *(j for part in parts for j in part)])
        assert covered == list(range(i + 1 if causal else length))
        assert i in direct
        assert all(parts), "no part is empty"


@given(st.integers(1, 60), st.integers(1, 70))
def test_direct_part_is_the_own_block(length, block_size):
    for i, (direct, parts) in enumerate(Fixed(block_size).support(length)):
        assert {j // block_size for j in direct} == {i // block_size}
        assert all(len({j // block_size for j in part}) == 1 for part in parts)


@given(st.integers(1, 60), st.integers(1, 70))
def test_causal_is_the_bidirectional_support_cut_off(length, block_size):
    plan = Fixed(block_size)
    pairs = zip(plan.support(length, causal=True), plan.support(length), strict=True)
    for i, (causal, full) in enumerate(pairs):
        assert causal.direct == tuple(j for j in full.direct if j <= i)
        assert causal.parts == tuple(part for part in full.parts if max(part) <= i)


def test_five_tokens_in_blocks_of_two():
    assert Fixed(2).support(5) == [
        Support((0, 1), ((2, 3), (4,))),
        Support((0, 1), ((2, 3), (4,))),
        Support((2, 3), ((0, 1), (4,))),
        Support((2, 3), ((0, 1), (4,))),
        Support((4,), ((0, 1), (2, 3))),
    ]
    assert Fixed(2).support(5, causal=True) == [
        Support((0,), ()),
        Support((0, 1), ()),
        Support((2,), ((0, 1),)),
        Support((2, 3), ((0, 1),)),
        Support((4,), ((0, 1), (2, 3))),
    ]


def test_a_plan_says_which_methods_it_lacks():
    with pytest.raises(NotImplementedError, match=r"Factorization must implement support\(\)"):
        Factorization().support(3)
    with pytest.raises(NotImplementedError, match=r"must implement terms\(\)"):
        Factorization().terms(None, None, None)


def test_first_blocks():
    plan = Fixed(2, first_blocks=2)
    assert plan.support(9)[0] == Support((0, 1, 2, 3), ((4, 5), (6, 7), (8,)))
    assert plan.support(9)[6] == Support((0, 1, 2, 3, 6, 7), ((4, 5), (8,)))
    assert plan.support(9, causal=True)[1] == Support((0, 1), ())
    assert plan.support(9, causal=True)[8] == Support((0, 1, 2, 3, 8), ((4, 5), (6, 7)))
    assert plan.is_full_attention(4)
    assert not plan.is_full_attention(5)


def test_finer_parts_and_neighbors():
    plan = Fixed(2, part_size=1, neighbors=1)
    assert plan.support(7)[0] == Support((0, 1, 2, 3), ((4,), (5,), (6,)))
    assert plan.support(7)[4] == Support((2, 3, 4, 5, 6), ((0,), (1,)))
    assert plan.support(7, causal=True)[5] == Support((2, 3, 4, 5), ((0,), (1,)))
