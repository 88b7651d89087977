"""What all exports do alike, on exports that take no time."""

import os
import types

import keras
import numpy as np
import pytest

from keras_combiner.export.checked_export import (
    Candidate,
    ExportOptions,
    checked_export,
    documents_to_compare,
    sample_documents,
)
from keras_combiner.tasks import SingleLabel

CLASSIFIER = types.SimpleNamespace(labels=["a", "b"], task=SingleLabel())
DOCUMENTS = ["x", "y"]
ANSWERS = np.array([[0.6, 0.4], [0.3, 0.7]])


def write_file(path):
    path.write_text("new")


def write_directory(path):
    path.mkdir()
    write_file(path / "part")


def fail(*_):
    raise OSError("No space left")


def export(path, write=write_file, answers=lambda _: (ANSWERS, ANSWERS), require=(), **options):
    return checked_export(
        CLASSIFIER,
        path,
        lambda documents: Candidate("onnx", documents, write, answers),
        ExportOptions(**{"documents": DOCUMENTS, "verbose": False, **options}),
        require,
    )


@pytest.mark.parametrize("write", [write_file, write_directory])
def test_what_is_written_is_compared_before_it_gets_its_name(write, tmp_path):
    path = tmp_path / "models" / "1"
    seen = []

    def answers(unfinished):
        seen.append((unfinished.exists(), path.exists()))
        return np.add(ANSWERS, [0.1, -0.1]), ANSWERS

    report = export(path, write, answers)
    assert seen == [(True, False)]
    assert [x.name for x in path.parent.iterdir()] == ["1"]
    assert (path / "part" if path.is_dir() else path).read_text() == "new"
    assert (report.path, report.size, report.documents) == (str(path), 3, 2)
    assert report.largest_difference == pytest.approx(0.1)
    assert (report.agreement, report.accuracy) == (1.0, None)


def test_several_answers_for_each_document_have_its_label(tmp_path):
    # Of two lengths: the first answers are right, of the second the first alone.
    received = np.concatenate([ANSWERS, ANSWERS[[0, 0]]])
    expected = np.concatenate([ANSWERS, ANSWERS])
    report = export(tmp_path / "1", answers=lambda _: (received, expected), labels=["a", "b"])
    assert (report.documents, report.accuracy, report.model_accuracy) == (4, 0.75, 1.0)


def test_an_existing_export_stays_unless_it_may_be_replaced(tmp_path):
    path = tmp_path / "1"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        export(path, write=fail)
    assert path.read_text() == "precious"
    export(path, overwrite=True)
    assert path.read_text() == "new"
    assert [x.name for x in tmp_path.iterdir()] == ["1"]


def write_half(path):
    write_directory(path)
    fail()


TURNED = {"answers": lambda _: (1 - ANSWERS, ANSWERS), "labels": ["a", "b"]}
FAILURES = {
    "writing": ({"write": write_half}, "No space left"),
    "checking": ({"answers": fail}, "No space left"),
    "not finite": (
        {"answers": lambda _: (np.full_like(ANSWERS, np.nan), ANSWERS)},
        "not finite; nothing was written",
    ),
    "less accurate": (
        {**TURNED, "max_accuracy_drop": 0.5},
        r"loses too much accuracy.* on 2 documents",
    ),
    "renaming": ({}, "No space left"),
}


@pytest.mark.parametrize("existing", [None, write_file, write_directory])
@pytest.mark.parametrize("where", FAILURES)
def test_a_failure_leaves_nothing_behind(where, existing, tmp_path, monkeypatch):
    path = tmp_path / "1"
    if existing is not None:
        existing(path)
        before = path.stat().st_mtime_ns
    options, words = FAILURES[where]
    options = {"write": existing or write_file, **options}
    if where == "renaming":
        rename, failures = os.rename, iter([fail])

        def fail_once(source, target):
            # An old directory has already stepped aside, and can step back.
            if str(target) == str(path):
                return next(failures, rename)(source, target)
            return rename(source, target)

        monkeypatch.setattr(os, "rename", fail_once)
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises((OSError, RuntimeError), match=words):
        export(path, overwrite=True, **options)
    monkeypatch.undo()
    assert [x.name for x in tmp_path.iterdir()] == ([] if existing is None else ["1"])
    if existing is not None:
        assert path.stat().st_mtime_ns == before


def test_an_allowed_loss_of_accuracy(tmp_path):
    report = export(tmp_path / "1", max_accuracy_drop=1.0, **TURNED)
    assert (report.accuracy, report.model_accuracy, report.agreement) == (0.0, 1.0, 0.0)
    assert (tmp_path / "1").is_file()


@pytest.mark.parametrize("verbose", [False, True])
def test_prints_its_report_unless_told_not_to(verbose, tmp_path, capsys):
    report = export(tmp_path / "1", verbose=verbose)
    assert capsys.readouterr().out == (f"{report}\n" if verbose else "")


def test_a_missing_package_is_named_before_the_work(tmp_path):
    def missing():
        raise ImportError("pip install it")

    with pytest.raises(ImportError, match="pip install it"):
        export(tmp_path / "1", write=fail, require=[missing])
    assert not list(tmp_path.iterdir())


def test_needs_the_tensorflow_backend(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match=r"TensorFlow backend.*jax.*KERAS_BACKEND=tensorflow"):
        export(tmp_path / "1")
    assert not list(tmp_path.iterdir())


def test_documents_and_their_targets():
    documents, targets = documents_to_compare(
        CLASSIFIER, tuple("xyz"), np.array(["b", "a", "b"]), 0.5
    )
    assert documents == ["x", "y", "z"] and targets.tolist() == [1, 0, 1]
    documents, targets = documents_to_compare(CLASSIFIER, None, None, None)
    assert documents == sample_documents() and targets is None


@pytest.mark.parametrize(
    ("documents", "labels", "drop", "words"),
    [
        (["x", "y"], ["a"], None, "2 texts, 1 labels"),
        (None, ["a"], None, "Received no documents"),
        (["x"], ["c"], None, r"label 0: unknown label 'c'\. Nearest of the 2 labels"),
        (["x"], None, 0.1, "needs `documents` and their `labels`"),
        (["x"], ["a"], 2, "from 0 to 1.*Received: 2"),
        (["x"], ["a"], -0.1, "from 0 to 1.*Received: -0.1"),
        (["x"], ["a"], float("nan"), "from 0 to 1.*Received: nan"),
        ([], None, None, "Received: an empty list"),
        ([], [], None, "Received: an empty list"),
    ],
)
def test_refuses_what_does_not_go_together(documents, labels, drop, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        export(tmp_path / "1", documents=documents, labels=labels, max_accuracy_drop=drop)
    assert not list(tmp_path.iterdir())


def test_an_unknown_option_is_named(tmp_path):
    with pytest.raises(TypeError, match="lables"):
        export(tmp_path / "1", lables=["a", "b"])
