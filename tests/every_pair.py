"""every_pair: a test over many combinations, of which the quick suite takes a few."""

import itertools

import pytest


def every_pair(slow=(), **axes):
    """Parametrizes a test over all combinations; the slow tests have those that add no pair.

    Most faults take one value, or two that meet. In the tests that are not slow every two values
    of two axes meet at least once.

    Args:
        slow: ids of values of which the tests that are not slow have none.
        axes: name of the test's argument: its values, a list or `{id: value}`.

    Returns:
        decorator of a test.
    """
    axes = {
        name: values if isinstance(values, dict) else {str(x): x for x in values}
        for name, values in axes.items()
    }
    combinations = list(itertools.product(*axes.values()))
    quick = set(covering([ids for ids in combinations if not set(slow).intersection(ids)]))
    return pytest.mark.parametrize(
        ",".join(axes),
        [
            pytest.param(
                *(values[x] for values, x in zip(axes.values(), ids, strict=True)),
                id="-".join(ids),
                marks=() if ids in quick else pytest.mark.slow,
            )
            for ids in combinations
        ],
    )


def covering(combinations):
    """Yields combinations that together have every pair of all of them: greedily, the best next.

    >>> len(list(covering(list(itertools.product("abc", "123", "xy")))))
    9
    """
    pairs = {x: set(itertools.combinations(enumerate(x), 2)) for x in combinations}
    missing = set().union(*pairs.values())
    while missing:
        best = max(pairs, key=lambda x: len(pairs[x] & missing))
        yield best
        missing -= pairs.pop(best)
