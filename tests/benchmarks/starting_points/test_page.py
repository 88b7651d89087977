"""The rows of the table have the figures of their trainings."""

from benchmarks.starting_points.page import PAGE
from benchmarks.starting_points.rows import PRETRAINED, SCRATCH, SETTINGS


def run(accuracy, **more):
    others = {"validation_accuracy": 0.8, "training_accuracy": 1.0, "parameters": 2_000_000}
    return {"accuracy": accuracy, "seconds": 60.0, **others, **more}


def test_the_page_has_the_figures(tmp_path):
    figures = {
        "date": "2026-01-01",
        "machine": "a machine",
        "versions": {"keras": "3", "tensorflow": "2"},
        "documents": {"train": 10, "validation": 2, "test": 300},
        "settings": SETTINGS,
        "rows": {
            SCRATCH: [run(0.5), run(0.6)],
            PRETRAINED: [run(0.65, pretraining_seconds=60.0, perplexity=20.0)],
        },
    }
    PAGE.write(tmp_path, figures)
    page = (tmp_path / "benchmarks.md").read_text()
    assert f"| {SCRATCH} | 0.550 ± 0.071 | 0.800 | 1.000 | 2 | 2.0 | 1 |" in page
    assert f"| {SCRATCH} |  |  | sequence-length 2560, epochs 8 |" in page
    assert f"| {PRETRAINED} | 0.650 | 0.800 | 1.000 | 1 | 2.0 | 2 |" in page
    assert "learning-rate 0.002 | 20 | sequence-length 2560, epochs 8," in page
    assert (tmp_path / "starting_points.png").stat().st_size > 1000
