"""What is compared takes turns."""

import functools

from benchmarks.common.timing import take_turns


def test_turns_are_taken_and_warm_up_does_not_count():
    order, values = [], {"a": iter([9, 1, 5, 3]), "b": iter([9, 2, 2, 8])}

    def run(name):
        order.append(name)
        return next(values[name])

    runs = {name: functools.partial(run, name) for name in "ab"}
    assert take_turns(runs, {"warm_up": 1, "repeats": 3}) == {"a": 3, "b": 2}
    assert order == list("abababab")
