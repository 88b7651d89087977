"""The tables of quality follow its figures."""

import json

import pytest

from benchmarks.quality.page import PAGE
from benchmarks.quality.rows import COMBINER, DEFAULT, FULL, MODELS, TRUNCATED, rows_of, title
from tests.benchmarks.quality.small import SETTINGS


def made_up(accuracies, shares=None):
    """Figures of ListOps, two seeds; rows without an accuracy have 0.3 and 0.5."""
    rows = {}
    for row in rows_of("listops"):
        accuracy = accuracies.get(row, [0.3, 0.5])
        rows[row] = {"accuracy": accuracy, "loss": [1.0] * len(accuracy), "seconds": [10.0, 20.0]}
        if row in MODELS:
            rows[row] |= {"parameters": [1234] * 2, "share": [(shares or {}).get(row, 1.0)] * 2}
    data = {
        "documents": {"train": 8, "validation": 0, "test": 100},
        "tokens": 50,
        "filled": 0.25,
        "smallest_class": 1,
    }
    figures = {
        "date": "2001-02-03",
        "machine": "a machine",
        "versions": {"keras": "3"},
        "settings": SETTINGS,
        "seeds": [0, 1],
        "quick": False,
        "data": {"listops": data},
        "rows": {"listops": rows},
    }
    return json.loads(json.dumps(figures))


@pytest.fixture
def written(tmp_path):
    """Writes the page of some figures; returns it."""

    def write(figures):
        PAGE.write(tmp_path, figures)
        return (tmp_path / "benchmarks.md").read_text()

    return write


def test_the_tables_have_the_figures(written, tmp_path):
    accuracies = {DEFAULT: [0.6, 0.4], FULL: [0.8, 0.6], TRUNCATED: [0.1, 0.15]}
    text = written(made_up(accuracies, shares={FULL: 0.5}))
    assert f"| {FULL} | 0.700 ± 0.141 | 1.000 ± 0.000 | 15 ± 7 | 50% | 1,234 |" in text
    assert f"| {FULL} | **worse** | -0.200 | 0 of 2 | 2 of 2 | 1.00 |" in text
    truncated = title(TRUNCATED, SETTINGS)
    assert f"| {truncated} | **better** | +0.375 | 2 of 2 | 0 of 2 | 1.00 |" in text
    assert all(row in text for row in COMBINER)
    assert (tmp_path / "quality.png").stat().st_size > 1000


def test_a_difference_that_other_test_documents_might_turn_is_not_settled(written):
    accuracies = {row: [0.4] for row in rows_of("listops")}
    text = written(made_up({**accuracies, DEFAULT: [0.65], FULL: [0.7]}))
    assert f"| {FULL} | **not settled** | -0.050 | 0 of 1 | 1 of 1 |" in text
    assert f"| {FULL} | 0.700 | 1.000 |" in text
