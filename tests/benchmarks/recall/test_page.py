"""The tables of recall follow its figures."""

import json

from benchmarks.recall.page import PAGE, summarize
from benchmarks.recall.rows import ALL, BIGBIRD, DIRECTIONS, FULL, ONE, ROWS, rows_of
from tests.benchmarks.recall.small import SETTINGS


def made_up():
    """Figures of all rows, two seeds: half of the keys are found where all are asked."""
    runs = {
        (direction, row, seed): {
            "192": {
                "seconds": 10.0,
                "steps": 1500,
                ONE: {"accuracy": 0.25 + 0.5 * seed, "loss": 1.0},
                ALL: {"accuracy": 0.5, "loss": 2.0},
            }
        }
        for direction in DIRECTIONS
        for row in rows_of(direction)
        for seed in (0, 1)
    }
    runs["causal", "fixed, 4 opened by 1", 0]["192"][ALL]["accuracy"] = 0.75
    figures = {
        "date": "2001-02-03",
        "machine": "a machine",
        "versions": {"keras": "3"},
        "settings": SETTINGS,
        "seeds": 2,
        "quick": False,
        "rows": summarize(runs),
    }
    return json.loads(json.dumps(figures))


def test_the_tables_have_the_figures(tmp_path):
    PAGE.write(tmp_path, made_up())
    lines = (tmp_path / "benchmarks.md").read_text().splitlines()
    cells = "0.500 ± 0.354 | 1.000 ± 0.000 | 0.500 ± 0.000 | 2.000 ± 0.000 | 10 ± 0 | 1,500"
    assert lines.count(f"| {FULL} | {cells} |") == 2
    assert sum(x.startswith("| fixed, 4 opened by 1 | 0.500 ± 0.354 | ") for x in lines) == 2
    assert sum("| 0.625 ± 0.177 |" in x for x in lines) == 1
    assert sum(x.startswith(f"| {BIGBIRD} |") for x in lines) == 1
    assert sum(x.startswith(tuple(f"| {row} |" for row in ROWS)) for x in lines) == 21
    assert (tmp_path / "recall.png").stat().st_size > 1000
