"""The tables of the ablation follow its figures."""

import pytest

from benchmarks.ablation import page
from benchmarks.ablation.rows import ROWS, SETTINGS, comparable


def runs(accuracies):
    """Figures of all rows; `accuracies` of ("fixed", "max") by seed, 0.5 elsewhere."""
    return {
        (*row, seed): {
            "test": {
                "accuracy": accuracy if row == ("fixed", "max") else 0.5,
                "loss": 1.5 - accuracy if row == ("fixed", "max") else 1.0,
            },
            "seconds": 10.0,
            "divergence": dict.fromkeys({*comparable(row[0]), row[1]}, 0.25),
        }
        for row in ROWS
        for seed, accuracy in enumerate(accuracies)
    }


@pytest.mark.parametrize(
    ("accuracies", "cells"),
    [
        ((0.6, 0.7, 0.8), "+0.100, +0.200, +0.300 | -0.200 | 3 of 3 seeds | holds"),
        ((0.4, 0.3, 0.2), "-0.100, -0.200, -0.300 | +0.200 | 0 of 3 seeds | does not hold"),
        # The last one is chance.
        ((0.6, 0.7, 0.51), "+0.100, +0.200, +0.010 | -0.103 | 3 of 3 seeds | not settled"),
    ],
)
def test_the_tables_follow_the_figures(accuracies, cells, tmp_path):
    figures = page.summarize(runs(accuracies), SETTINGS)
    figures["trivial"] = {"majority": 0.1, "root operator": 0.2}
    figures["random"] = {"fixed max": 0.75}
    page.PAGE.write(tmp_path, figures)
    lines = (tmp_path / "ablation.md").read_text().splitlines()
    assert f"| `fixed`, `max` | {cells} |" in lines
    assert sum(x.startswith(("| fixed |", "| logsparse |", "| axial")) for x in lines) == len(ROWS)
    assert any(x.endswith("| 0.250 ± 0.000 | 0.250 ± 0.000 | 0.750 |") for x in lines)
