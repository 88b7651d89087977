"""The shares of "variational" are the nearest to softmax attention that its parts allow.

With the local distributions held fixed, the effective attention of a query is decided by how it
shares itself out among direct tokens and parts. The shares of "variational" have the lowest
KL(E || p), p softmax attention over the same queries and keys.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.factorizations import (
    AxialHorizontal,
    AxialVertical,
    Fixed,
    Hierarchical,
    Logsparse,
)
from tests import reference

PLANS = {
    "fixed": Fixed(4),
    "fixed, finer parts": Fixed(4, part_size=2),
    "logsparse": Logsparse(),
    "hierarchical": Hierarchical(3),
    "axial_vertical": AxialVertical(4),
    "axial_horizontal": AxialHorizontal(4),
}
every_plan = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
TOLERANCE = 1e-5  # of a divergence whose weights come in float32


def divergence(effective, softmax):
    """KL(effective || softmax) of distributions along the last axis."""
    positive = effective > 0
    ratio = np.where(positive, effective, 1) / np.where(positive, softmax, 1)
    return np.sum(effective * np.log(ratio), axis=-1)


class Problem:
    """One head; for every query its softmax attention and its groups with local distributions.

    Attributes:
        softmax: `[T, T]`.
        locals: list over queries of `[groups, T]`, a row a direct token or part; rows sum to one.
    """

    def __init__(self, plan, length, causal, seed, scale):
        self.arrays = reference.heads((1, 1, length, 3), seed=seed, scale=scale)
        self.plan, self.causal = plan, causal
        query, key = (x[0, 0].astype("float64") for x in self.arrays[:2])
        logits = query @ key.T / np.sqrt(3)
        logits = np.where(np.tri(length, dtype=bool) | (not causal), logits, -np.inf)
        self.softmax = np.exp(logits - logits.max(-1, keepdims=True))
        self.softmax /= self.softmax.sum(-1, keepdims=True)
        self.locals = []
        everything = np.ones(length, bool)
        for support in plan.support(length, causal):
            rows = list(np.eye(length)[list(support.direct)])
            for part in support.parts:
                found = reference.part_summary(query, key, part, everything, "variational")
                rows.append(np.zeros(length))
                rows[-1][found.positions] = found.local
            self.locals.append(np.array(rows))

    def scores(self, summary):
        """What the plan itself gives, `[T, T]`."""
        options = {"causal": self.causal, "summary": summary, "return_attention_scores": True}
        return np.array(self.plan.attend(*self.arrays, **options)[1])[0, 0].astype("float64")

    def divergences(self, shares):
        """`[T]`, for a list over queries of shares `[groups]` that sum to one."""
        effective = [x @ local for x, local in zip(shares, self.locals, strict=True)]
        return divergence(np.array(effective), self.softmax)

    def shares(self, summary):
        """The shares that `summary` gives direct tokens and parts, whatever its local weights."""
        scores = self.scores(summary)
        return [row @ (local > 0).T for row, local in zip(scores, self.locals, strict=True)]

    def least(self):
        """`[T]`, the minimum in closed form: - log sum_r exp(- KL(w_r || p)), `[T]`."""
        found = []
        for row, local in zip(self.softmax, self.locals, strict=True):
            distances = divergence(local, row)
            found.append(-np.log(np.sum(np.exp(-distances))))
        return np.array(found)


problems = st.builds(
    Problem,
    plan=st.sampled_from(list(PLANS.values())),
    length=st.integers(2, 24),
    causal=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0.3, 1.0, 2.0]),
)


@given(problem=problems)
def test_reaches_the_minimum(problem):
    received = divergence(problem.scores("variational"), problem.softmax)
    np.testing.assert_allclose(received, problem.least(), atol=TOLERANCE)


@given(
    problem=problems, seed=st.integers(0, 2**32 - 1), size=st.sampled_from([1e-2, 0.1, 1.0, 5.0])
)
def test_no_other_shares_are_nearer(problem, seed, size):
    generator = np.random.default_rng(seed)
    shares = problem.shares("variational")
    others = [x * np.exp(size * generator.normal(size=x.shape)) for x in shares]
    others = [x / x.sum() for x in others]
    anywhere = [generator.dirichlet(np.ones(len(x))) for x in shares]
    lowest = problem.divergences(shares)
    for candidate in (others, anywhere):
        assert np.all(lowest <= problem.divergences(candidate) + TOLERANCE)


@every_plan
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("summary", ["max", "mean"])
def test_other_summaries_miss_it(plan, summary, causal):
    # Their shares over the very same local distributions: the tests above would fail with them.
    problem = Problem(plan, 24, causal, seed=0, scale=1.0)
    excess = problem.divergences(problem.shares(summary)) - problem.least()
    assert excess.min() > -TOLERANCE
    assert excess.max() > 100 * TOLERANCE


@given(problem=problems)
def test_the_divergence_is_never_negative(problem):
    assert problem.least().min() > -TOLERANCE
