"""Every plan on JAX and PyTorch: the reference's outputs, TensorFlow's outputs and gradients."""

import functools
import itertools

import numpy as np
import pytest

from keras_combiner.factorizations.summaries import SUMMARIES
from tests import on_backend, reference
from tests.every_pair import covering
from tests.factorizations.backend_cases import (
    Case,
    compute,
    compute_all,
    compute_in_double_precision,
    heads,
    padding_mask,
)
from tests.factorizations.plans import COMPILED_ALIKE, PLANS, SIZE, LearnedPlan

DTYPES = ("float32", "bfloat16", "float16")
DIRECTIONS = (False, True)
LENGTH = 11  # a prime
LONG = 1000
LOCALITIES = (0.0, 6.0)
LENGTHS = (1, 2, SIZE - 1, SIZE, SIZE + 1, LENGTH, LONG)


# On every change: plans of every kind under all paddings, in one direction or the other.
QUICK = [
    Case(
        plan,
        bool(i % 2),
        SUMMARIES[i // 2 % len(SUMMARIES)],
        LENGTH,
        masked=True,
        locality=LOCALITIES[i // 3 % 2],
    )
    for i, plan in enumerate(x for x in PLANS if x not in COMPILED_ALIKE)
]
QUICK_EXTREME = [
    case._replace(dtype=DTYPES[i % 3], extreme=True) for i, case in enumerate(QUICK[::3])
]
EVERY = [
    Case(plan, causal, summary, length, masked, locality=locality)
    for plan, causal, summary, length, masked, locality in itertools.product(
        PLANS, DIRECTIONS, SUMMARIES, LENGTHS, (True, False), LOCALITIES
    )
    # A row without padding is in every masked batch; no mask at all is another way through plans
    # where blocks are full, and where they are not.
    if masked or length in (SIZE, LENGTH)
]
EVERY_EXTREME = [
    Case(plan, causal, summary, LENGTH, True, dtype, extreme=True, locality=locality)
    for plan, causal, summary, dtype, locality in itertools.product(
        PLANS, DIRECTIONS, SUMMARIES, DTYPES, LOCALITIES
    )
]


def marked(quick, every):
    """What runs on every change, and slow cases: with these, every two values meet."""
    slow = (pytest.param(case, marks=pytest.mark.slow) for case in covering(every, given=quick))
    return [*quick, *slow]


@pytest.fixture(scope="module", params=["jax", "torch"])
def results(request):
    """What the backend gives for the cases of all tests that were chosen, in one process."""
    chosen = {
        item.callspec.params["case"]
        for item in request.session.items
        if item.path == request.path and item.callspec.params["results"] == request.param
    }
    return on_backend.call(request.param, compute_all, sorted(chosen))


on_tensorflow = functools.cache(compute)
in_double_precision = functools.cache(compute_in_double_precision)


@functools.cache
def by_definition(case):
    outputs, _ = reference.attend(
        LearnedPlan(PLANS[case.plan]),
        *heads(case),
        padding_mask(case),
        case.causal,
        case.summary,
        case.locality,
    )
    return outputs


@pytest.mark.parametrize("case", marked(QUICK, EVERY), ids=str)
def test_equals_the_reference_and_tensorflow(results, case):
    received, expected = results[case], on_tensorflow(case)
    assert received.keys() == expected.keys()
    if case.length < LONG:  # beyond, test_every_plan.py judges TensorFlow's; the reference is slow
        np.testing.assert_allclose(received["outputs"], by_definition(case), atol=1e-5)
    np.testing.assert_allclose(received["outputs"], expected["outputs"], atol=1e-5)
    exact = in_double_precision(case)
    for name in received.keys() - {"outputs"}:
        np.testing.assert_allclose(received[name], exact[name], atol=1e-4, err_msg=name)
        np.testing.assert_allclose(expected[name], exact[name], atol=1e-4, err_msg=name)


@pytest.mark.parametrize("case", marked(QUICK_EXTREME, EVERY_EXTREME), ids=str)
def test_logits_of_ten_thousand_are_finite(results, case):
    for name, x in results[case].items():
        assert np.isfinite(x).all(), name
