"""The table of rematerialization has the figures as they were measured."""

from benchmarks.remat.page import PAGE


def test_the_page_has_the_figures(tmp_path):
    row = {"size": "small", "length": 4096, "batch_size": 2}
    row["without"] = {"bytes": 4e9, "seconds": 2.0}
    row["with"] = {"bytes": 1e9, "seconds": 2.5}
    versions = {"keras": "3", "tensorflow": "2"}
    figures = {"date": "2026-01-01", "machine": "m", "versions": versions, "rows": [row]}
    PAGE.write(tmp_path, figures)
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| small, 2 x 4,096 tokens | 4.00 | 1.00 | 0.25x | 1.25x |" in page
    assert "on 2026-01-01; the figures are in [remat.json](remat.json). m; keras 3," in page
    assert (tmp_path / "remat.png").stat().st_size > 1000
