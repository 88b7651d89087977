"""Exports are made once, and a run goes on where it stopped."""

import pytest

from benchmarks.common.runs import code_of
from benchmarks.deploy_report import exports
from benchmarks.deploy_report.rows import FINE_TUNED, FLOAT32, INT8, PADDED, ROWS, WHOLE
from keras_combiner import LongDocumentClassifier
from keras_combiner.datasets import load_sotu_era


class StubExports:
    """Rows that cost nothing; says in which order they were asked for."""

    def __init__(self, folder, fail_at=None):
        self.folder, self.fail_at, self.asked = folder, fail_at, []

    def place(self, name):
        return self.folder / exports.slug(name)

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
        exports.measure(first, names, 2)
    assert first.asked == [FLOAT32, INT8, FLOAT32]
    second = StubExports(tmp_path)
    found = exports.measure(second, names, 2)
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


@pytest.mark.slow
def test_what_is_kept_is_of_its_row_and_model(shipped, tmp_path):
    made = exports.Exports(tmp_path, shipped, every=87)
    places = {name: made.place(name) for name in ROWS}
    assert len(set(places.values())) == len(ROWS)
    again = exports.Exports(tmp_path, shipped, every=87)
    assert {name: again.place(name) for name in ROWS} == places
    fewer = exports.Exports(tmp_path, shipped, every=261)
    assert not {fewer.place(name) for name in ROWS} & set(places.values())

    def other_training(*packages):
        return b"changed" if packages == ("optimization",) else code_of(*packages)

    changed = exports.Exports(tmp_path, shipped, every=87, code_of=other_training)
    for name, one in ROWS.items():
        assert (changed.place(name) == places[name]) == (one.fine_tuned is None)


@pytest.mark.slow
def test_a_row_is_exported_once(shipped, tmp_path):
    made = exports.Exports(tmp_path, shipped, every=87)
    found, file = made.figures(FLOAT32), made.path(FLOAT32)
    assert found["size"] == file.stat().st_size > found["compressed"]
    for x in (WHOLE, PADDED):
        assert found[x]["accuracy"] == found[x]["model_accuracy"]
        assert found[x]["largest_difference"] < 1e-4
    written = file.stat().st_mtime_ns
    assert made.figures(FLOAT32) == found
    assert file.stat().st_mtime_ns == written
    times = made.time(FLOAT32)
    assert times["1"] > 0 and times["2"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [x for x in ROWS if x != FLOAT32])
def test_every_row(name, shipped, tmp_path):
    made = exports.Exports(tmp_path, shipped, every=87)
    found = made.figures(name)
    assert found["size"] > 0 and 0 <= found[WHOLE]["accuracy"] <= 1
    assert made.time(name)["1"] > 0
    assert len(list(tmp_path.glob("*.keras"))) == (ROWS[name].fine_tuned is not None)


def test_every_fine_tuned_classifier_has_a_row():
    assert {x.fine_tuned for x in ROWS.values()} == {None, *FINE_TUNED}
