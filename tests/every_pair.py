"""every_pair: a test over combinations of values, of which the quick suite takes a few."""

import heapq
import itertools

import pytest


def every_pair(slow=(), strength=3, quick=2, **axes):
    """Parametrizes a test over combinations of values that together leave little out.

    Most faults take one value, or two that meet. In the tests that are not slow every two values
    of two axes meet at least once, unless `quick` is 1; with the slow ones, every three of three
    axes.

    Args:
        slow: ids of values of which the tests that are not slow have none.
        strength: int, how many values meet in every way with the slow tests; 2 where one test
            takes long.
        quick: int, how many of them meet in the tests that are not slow; 1 for what
            `every_value` returns, where other tests judge what pairs compute.
        axes: name of the test's argument: its values, a list or `{id: value}`.

    Returns:
        decorator of a test.
    """
    axes = {
        name: values if isinstance(values, dict) else {str(x): x for x in values}
        for name, values in axes.items()
    }
    combinations = list(itertools.product(*axes.values()))
    soon = [[x for x in values if x not in slow] for values in axes.values()]
    first = every_value(*soon) if quick == 1 else covering(list(itertools.product(*soon)), quick)
    chosen = {*first, *covering(combinations, strength, first)}
    return pytest.mark.parametrize(
        ",".join(axes),
        [
            pytest.param(
                *(values[x] for values, x in zip(axes.values(), ids, strict=True)),
                id="-".join(ids),
                marks=() if ids in first else pytest.mark.slow,
            )
            for ids in combinations
            if ids in chosen
        ],
    )


def every_value(*axes):
    """Combinations with every value of every axis, and of the shorter axes every two together.

    Args:
        axes: lists of values.

    Returns:
        list of tuples: as many as the longest axis has values, or more where the others need them.

    Example:

    >>> every_value("abc", "12")
    [('a', '1'), ('b', '2'), ('c', '1')]
    """
    longest = max(range(len(axes)), key=lambda i: len(axes[i]))
    others = covering(list(itertools.product(*axes[:longest], *axes[longest + 1 :])))
    count = max(len(axes[longest]), len(others))
    values, others = (itertools.cycle(x) for x in (axes[longest], others))
    pairs = itertools.islice(zip(values, others, strict=False), count)
    return [(*rest[:longest], value, *rest[longest:]) for value, rest in pairs]


def covering(combinations, strength=2, given=()):
    """Combinations that with those `given` have what any has: greedily, the best next.

    Args:
        combinations: list of tuples of one length.
        strength: int, how many values of a combination count together: 2 for pairs.
        given: combinations that are there already.

    Returns:
        list of combinations.

    Example:

    >>> len(covering(list(itertools.product("abc", "123", "xy"))))
    9
    """

    def together(combination):
        return set(itertools.combinations(enumerate(combination), min(strength, len(combination))))

    missing = set().union(*map(together, combinations)).difference(*map(together, given))
    chosen, queue = [], [(float("-inf"), i) for i in range(len(combinations))]
    while missing:
        # What a combination adds gets less and less: it is the best if it still adds the most.
        i = queue[0][1]
        adds = together(combinations[i]) & missing
        heapq.heapreplace(queue, (-len(adds), i))
        if queue[0] == (-len(adds), i):
            chosen.append(combinations[i])
            missing -= adds
    return chosen
