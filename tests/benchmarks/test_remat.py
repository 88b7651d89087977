"""What rematerialization saves: measured in a process of its own, and told as it was measured."""

import pytest

from benchmarks import remat, remat_report, report


@pytest.mark.slow
def test_a_step_takes_memory_and_time():
    found = remat.measured_apart("tiny", 512, 2, True)
    assert 1e6 < found["bytes"] < 1e10
    assert 0 < found["seconds"] < 60


def test_the_page_says_what_the_figures_say(tmp_path):
    row = {"size": "small", "length": 4096, "batch_size": 2}
    row["without"] = {"bytes": 4e9, "seconds": 2.0}
    row["with"] = {"bytes": 1e9, "seconds": 2.5}
    versions = {"keras": "3", "tensorflow": "2"}
    figures = {"date": "2026-01-01", "machine": "m", "versions": versions, "rows": [row]}
    report.write(tmp_path, "remat", figures)
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| small, 2 x 4,096 tokens | 4.00 | 1.00 | 0.25x | 1.25x |" in page
    assert (tmp_path / "remat.png").stat().st_size > 1000
    assert remat_report.section(figures)[0] in page
