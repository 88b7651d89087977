"""The shares of training are those of the times."""

from benchmarks.training import profile
from benchmarks.training.page import PAGE


def test_the_page_has_shares(tmp_path):
    figures = {
        "date": "2001-02-03",
        "machine": "a machine",
        "settings": profile.SETTINGS,
        "documents_per_second": 12.34,
        "seconds": {"feed-forward": 3.0, "input": 1.0},
    }
    PAGE.write(tmp_path, figures)
    text = (tmp_path / "benchmarks.md").read_text()
    assert "| feed-forward | 75% |\n| input | 25% |" in text
    assert (tmp_path / "training.png").stat().st_size > 1000
