"""Runs of the quality benchmark are found again, and those of other settings are others."""

import json

from benchmarks.quality import runs
from benchmarks.quality.rows import FIRST_BLOCK, FULL, MODELS, is_baseline, rows_of
from tests.benchmarks.quality.small import LISTOPS, SETTINGS


def test_published_runs_of_the_same_settings_count_as_done(tmp_path):
    done = {
        ("listops", row, seed): {"accuracy": 0.1 * seed, "loss": 1.0, "seconds": 2.0, "share": 1.0}
        for row in rows_of("listops")
        for seed in ((0,) if is_baseline(row) else (0, 1))
    }
    seeds = (0, 1)
    figures = {"settings": SETTINGS, "seeds": seeds}
    figures["rows"] = runs.summarize(done, SETTINGS, seeds)
    figures = json.loads(json.dumps(figures))
    other = {**SETTINGS, "learning_rate": 1.0}
    assert runs.restore(figures, other, seeds, tmp_path) == 0
    assert runs.restore(figures, SETTINGS, (1,), tmp_path) == len(MODELS)
    assert runs.restore(figures, SETTINGS, (0, 1, 2), tmp_path) == len(done) - len(MODELS)
    for job, run in done.items():
        assert json.loads(runs.path_of(job, SETTINGS, tmp_path).read_text()) == run
    assert runs.restore(figures, SETTINGS, seeds, tmp_path) == 0, "all are there"


def test_runs_with_other_settings_are_others(tmp_path):
    job = ("listops", FULL, 0)
    other = {**SETTINGS, "datasets": {"listops": {**LISTOPS, "steps": 4}}}
    more = {**SETTINGS, "datasets": {"listops": LISTOPS, "sotu_era": {}}}
    assert runs.path_of(job, other, tmp_path) != runs.path_of(job, SETTINGS, tmp_path)
    assert runs.path_of(job, more, tmp_path) == runs.path_of(job, SETTINGS, tmp_path)


def test_what_a_row_has_of_its_own_makes_other_runs_of_that_row_alone(tmp_path):
    other = {**SETTINGS, "rows": {FIRST_BLOCK: {"first_blocks": 1, "locality": 5.0}}}
    changed = [
        row
        for row in MODELS
        if runs.path_of(("listops", row, 0), other, tmp_path)
        != runs.path_of(("listops", row, 0), SETTINGS, tmp_path)
    ]
    assert changed == [FIRST_BLOCK]
