"""What a task learns of the targets: their names, their scale, and what looks like a mistake."""

import json
import warnings

import keras
import numpy as np
import pytest

from keras_combiner import tasks
from keras_combiner.data_warning import DataWarning
from keras_combiner.datasets import read_documents
from tests.tasks.small_classifier import NUMBERS, TEXTS, make


def test_targets_that_float32_cannot_tell_apart_are_refused():
    with pytest.raises(ValueError, match=r"float32 has steps of 8 there\. Subtract"):
        tasks.get("regression").learned(1e8 + np.arange(20.0))
    task, _ = tasks.get("regression").learned(1e8 + 1e4 * np.arange(20.0))
    assert task.scale > 1e4


@pytest.mark.parametrize(
    ("targets", "is_said"),
    [
        ([1000.0, 3000.0, 2000.0, 5000.0] * 3, False),
        ([1.0, 3.0, 2.0, 5.0] * 3, True),  # in another unit
        ([1.0, 3.0], False),  # two may be alike by chance
        ([1e6, 3e6, 2e6, 5e6], True),
        ([20_000.0, 20_100.0], True),  # from elsewhere
        ([10_000.0, 9_000.0], False),
        ([2000.0] * 12, False),
        ([], False),
    ],
)
def test_targets_of_another_scale_are_said(targets, is_said):
    task, _ = tasks.get("regression").learned(NUMBERS)
    batches = [np.array(targets[i : i + 5]).reshape(-1, 1) for i in range(0, len(targets), 5)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        task.check_targets(lambda: batches)
    said = [str(x.message) for x in caught]
    assert len(said) == is_said
    if is_said:
        assert "was built for targets around 2750 that spread by 1.48e+03" in said[0]


def test_training_on_targets_of_another_scale(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda self, *args, **options: None)
    model = make(NUMBERS, task="regression")
    shares = [x / 1e4 for x in NUMBERS]
    rows = [{"text": x, "target": y} for x, y in zip(TEXTS, shares, strict=True)]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ids = model.tokenizer(TEXTS, 24).numpy()
    reader = read_documents(tmp_path / "r.jsonl", task="regression")
    for arguments in ((TEXTS, shares), (reader,), (ids, np.array(shares))):
        with pytest.warns(DataWarning, match="The targets lie around 0.275 and spread by 0.148"):
            model.fit(*arguments, verbose=0)
    for arguments in ((TEXTS, NUMBERS), (ids, np.array(NUMBERS))):
        model.fit(*arguments, verbose=0)  # without a warning


@pytest.mark.parametrize(
    ("task", "labels", "names"),
    [
        ("single_label", ["True", "true", "false"], "'True' and 'true'"),
        ("single_label", [True, "TRUE", False], "'TRUE' and 'True'"),
        ("single_label", ["1", "1.0", "2"], "'1' and '1.0'"),
        ("single_label", [1, "1.0"], "'1' and '1.0'"),
        ("single_label", ["Tale", "tale", "TALE"], "'TALE' and 'Tale' and 'tale'"),
        ("multi_label", [["a", "tale"], ["Tale"]], "'Tale' and 'tale'"),
    ],
)
def test_names_that_differ_in_spelling_are_said(task, labels, names):
    with pytest.warns(DataWarning, match=f"The labels {names} look alike: they are different"):
        _, found = tasks.get(task).learned(labels)
    assert len(found) == len({repr(x) for y in labels for x in (y if task[0] == "m" else [y])})


def test_names_that_look_unlike_are_not_said():
    labels = ["True", "1", "10", "0.1", "nan", "tale", "tales", "1.5"]
    assert tasks.get("single_label").learned(labels)[1] == sorted(labels)
