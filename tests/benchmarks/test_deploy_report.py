"""The deployment report: its page tells the figures, and a run goes on where it stopped."""

import copy
import json

import pytest

from benchmarks import deploy_length, deploy_page, deploy_report, deploy_rows
from benchmarks.deploy_length import COMBINER, FULL, FULL_WITHOUT_MASK
from benchmarks.deploy_rows import (
    DYNAMIC,
    FINE_TUNED,
    FLOAT32,
    INT4,
    INT8,
    PADDED,
    PRUNED,
    QAT,
    ROWS,
    WHOLE,
)
from keras_combiner import LongDocumentClassifier
from keras_combiner.datasets import load_sotu_era


def row(size=1_000_000, whole=0.87, padded=0.58, milliseconds=(10.0, 12.0, 11.0)):
    accuracies = {WHOLE: (whole, 0.87), PADDED: (padded, 0.58)}
    return {
        "size": size,
        "compressed": size // 2,
        **{
            name: {
                "accuracy": accuracy,
                "model_accuracy": own,
                "agreement": 1.0,
                "largest_difference": 0.01,
            }
            for name, (accuracy, own) in accuracies.items()
        },
        "milliseconds": {"1": list(milliseconds), "2": [x / 2 for x in milliseconds]},
        "memory": [2_000_000, 4_000_000, 3_000_000],
    }


@pytest.fixture
def figures():
    """In which every target is met, some only just."""
    found = {
        "date": "2001-02-03",
        "machine": "a machine",
        "versions": {"keras": "3"},
        "documents": 261,
        "parameters": 1_000,
        "sequence_length": 2560,
        "rounds": 3,
        "rows": {
            **{name: row() for name in ROWS},
            FLOAT32: row(4_000_000, milliseconds=(20.0, 24.0, 22.0)),
            DYNAMIC: row(1_160_000, whole=0.865, milliseconds=(20.0, 24.0, 22.0)),
            INT8: row(padded=0.57),
            INT4: row(whole=0.85),
            PRUNED: row(whole=0.86),
            QAT: row(padded=0.57),
        },
        "length": {
            "settings": deploy_length.SETTINGS,
            "seconds": {COMBINER: 0.125, FULL: 0.75, FULL_WITHOUT_MASK: 0.5},
            "size": dict.fromkeys((COMBINER, FULL, FULL_WITHOUT_MASK), 5_000_000),
        },
        "server": None,
    }
    return copy.deepcopy(found)


def missed(figures):
    return [what for what, _, _, met in deploy_page.targets(figures) if not met]


def test_targets_that_are_met(figures):
    assert missed(figures) == []
    assert "missed" not in deploy_page.page(figures)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (DYNAMIC, {"size": 1_160_001}, "dynamic_int8: size"),
        (DYNAMIC, {"milliseconds": {"1": [21.0, 25.0, 3.0], "2": [1.0] * 3}}, "threads: 1"),
        (DYNAMIC, {WHOLE: {"accuracy": 0.8649}}, "dynamic_int8: accuracy, whole"),
        (INT8, {PADDED: {"accuracy": 0.569}}, "int8: accuracy, padded"),
        (INT4, {WHOLE: {"accuracy": 0.849}}, "int4: accuracy, whole"),
        (PRUNED, {PADDED: {"accuracy": 0.5}}, "80 % pruned, dynamic_int8: accuracy, padded"),
        (QAT, {WHOLE: {"accuracy": 0.86}}, "quantization-aware, int8: accuracy, whole"),
    ],
)
def test_a_target_that_is_missed_is_marked(name, change, words, figures):
    for key, value in change.items():
        is_part = key in (WHOLE, PADDED)
        figures["rows"][name][key] = {**figures["rows"][name][key], **value} if is_part else value
    (what,) = missed(figures)
    assert words in what
    (line,) = (x for x in deploy_page.page(figures).splitlines() if "**missed**" in x)
    assert line.startswith(f"| {what} |")


def test_too_little_ahead_of_full_attention_is_missed(figures):
    figures["length"]["seconds"][FULL] = 0.74
    assert missed(figures) == ["Combiner at 4,096 tokens"]


def test_the_page_tells_the_figures(figures):
    text = deploy_page.page(figures)
    assert f"| {FLOAT32} | 4.00 | 1.00 | 2.00 | 22.0 | 11.0 | 1.00 | 1.00 | 3 |" in text
    assert "| 0.865 (0.870) | 0.580 (0.580) | 1e-02 |" in text
    assert f"| {FULL} | 750 | 6.0 | 5.0 |" in text
    assert "server" not in text
    figures["server"] = {
        **{"clients": 16, "seconds": 60.2, "answers_per_second": 9.5, "p50_ms": 1, "p99_ms": 2},
        **{"idle_mb": 300, "peak_mb": 400, "refused": 1200, "wrong": []},
    }
    assert "| refused for being busy | 1,200 |" in deploy_page.page(figures)
    some = {name: figures["rows"][name] for name in (FLOAT32, INT8)}
    figures["rows"] = some  # fewer rows have a page too, without targets
    assert "## Targets" not in deploy_page.page(figures)


def test_a_system_that_does_not_say_how_much_memory_has_no_figure(figures):
    figures["rows"][FLOAT32]["memory"] = [None] * 3
    assert "| 1.00 | 1.00 |  | 0.870" in deploy_page.page(figures)


def test_is_written_whole(figures, tmp_path, capsys):
    deploy_page.write(tmp_path, figures)
    assert sorted(x.name for x in tmp_path.iterdir()) == ["deployment.json", "deployment.md"]
    text = (tmp_path / "deployment.md").read_text()
    assert text == deploy_page.page(json.loads((tmp_path / "deployment.json").read_text()))
    assert text in capsys.readouterr().out


class StubExports:
    """Rows that cost nothing; says in which order they were asked for."""

    def __init__(self, folder, fail_at=None):
        self.folder, self.fail_at, self.asked = folder, fail_at, []

    def place(self, name):
        return self.folder / deploy_report._slug(name)

    def figures(self, name):
        return {WHOLE: {"accuracy": 0.5}}

    def time(self, name):
        if len(self.asked) == self.fail_at:
            raise KeyboardInterrupt
        self.asked.append(name)
        return {"1": float(len(self.asked)), "2": 1.0, "memory": None}


def test_rows_take_turns_and_a_run_goes_on_where_it_stopped(tmp_path):
    names = [FLOAT32, INT8]
    first = StubExports(tmp_path, fail_at=3)
    with pytest.raises(KeyboardInterrupt):
        deploy_report.measure(first, names, 2)
    assert first.asked == [FLOAT32, INT8, FLOAT32]
    second = StubExports(tmp_path)
    found = deploy_report.measure(second, names, 2)
    assert second.asked == [INT8], "what was measured is kept"
    assert found[FLOAT32]["milliseconds"] == {"1": [1.0, 3.0], "2": [1.0, 1.0]}
    assert found[INT8]["memory"] == [None, None]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """An untrained classifier of the eras, in place of the one that ships."""
    folder = tmp_path_factory.mktemp("shipped")
    texts, labels = zip(*load_sotu_era("train"), strict=True)
    classifier = LongDocumentClassifier.from_texts(
        list(texts), list(labels), sequence_length=48, tokenizer="bytes", num_layers=1
    )
    classifier.save(folder / "model.keras")
    return folder


def test_what_is_kept_is_of_its_row_and_model(tmp_path):
    exports = deploy_report.Exports(tmp_path, every=87)
    places = {name: exports.place(name) for name in ROWS}
    assert len(set(places.values())) == len(ROWS)
    again = deploy_report.Exports(tmp_path, every=87)
    assert {name: again.place(name) for name in ROWS} == places
    fewer = deploy_report.Exports(tmp_path, every=261)
    assert not {fewer.place(name) for name in ROWS} & set(places.values())
    again._training_code += b"changed"
    for name, one in ROWS.items():
        assert (again.place(name) == places[name]) == (one.fine_tuned is None)


@pytest.mark.slow
def test_a_row_is_exported_once(shipped, tmp_path, monkeypatch):
    exports = deploy_report.Exports(tmp_path, shipped, every=87)
    found = exports.figures(FLOAT32)
    assert found["size"] == exports.path(FLOAT32).stat().st_size > found["compressed"]
    for x in (WHOLE, PADDED):
        assert found[x]["accuracy"] == found[x]["model_accuracy"]
        assert found[x]["largest_difference"] < 1e-4
    monkeypatch.setattr(deploy_rows, "export", None)
    assert exports.figures(FLOAT32) == found
    times = exports.time(FLOAT32)
    assert times["1"] > 0 and times["2"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [x for x in ROWS if x != FLOAT32])
def test_every_row(name, shipped, tmp_path):
    exports = deploy_report.Exports(tmp_path, shipped, every=87)
    found = exports.figures(name)
    assert found["size"] > 0 and 0 <= found[WHOLE]["accuracy"] <= 1
    assert exports.time(name)["1"] > 0
    assert len(list(tmp_path.glob("*.keras"))) == (ROWS[name].fine_tuned is not None)


def test_every_fine_tuned_classifier_has_a_row():
    assert {x.fine_tuned for x in ROWS.values()} == {None, *FINE_TUNED}


@pytest.mark.slow
def test_full_attention_is_the_same_transformer():
    small = {"length": 64, "tokens": 50, "hidden_dim": 16, "intermediate_dim": 32, "repeats": 1}
    found = deploy_length.figures({**deploy_length.SETTINGS, **small, "num_heads": 2})
    assert set(found["seconds"]) == set(found["size"]) == {COMBINER, FULL, FULL_WITHOUT_MASK}
    assert min(found["seconds"].values()) > 0
