"""Times that can be compared: what is compared takes turns."""

import statistics


def take_turns(runs, settings):
    """Returns the median of what each of `runs` returns, turn by turn: A B A B.

    Args:
        runs: dict of name to callable without arguments, which returns its seconds.
        settings: dict, "warm_up" (int, turns that do not count) and "repeats" (those that do).

    Returns:
        dict of name to float.
    """
    seconds = {job: [] for job in runs}
    for turn in range(settings["warm_up"] + settings["repeats"]):
        for job, run in runs.items():
            one = run()
            if turn >= settings["warm_up"]:
                seconds[job].append(one)
    return {job: statistics.median(some) for job, some in seconds.items()}
