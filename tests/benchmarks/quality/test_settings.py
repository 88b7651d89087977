"""The quick settings are less of the same."""

from benchmarks.quality.rows import rows_of
from benchmarks.quality.runs import jobs_of
from benchmarks.quality.settings import QUICK_SEEDS, SETTINGS, quick


def test_quick_is_less_of_the_same():
    settings = quick(SETTINGS)
    assert set(settings) == set(SETTINGS)
    assert settings["limit_seconds"] < SETTINGS["limit_seconds"]
    for name, details in settings["datasets"].items():
        assert details["steps"] < SETTINGS["datasets"][name]["steps"]
    rows = len(jobs_of(settings, range(QUICK_SEEDS)))
    assert rows == sum(len(rows_of(name)) for name in settings["datasets"])
