"""`keras-combiner evaluate`."""

import dataclasses
import json

import numpy as np
import pytest

from keras_combiner.cli import arguments
from keras_combiner.cli.main import main
from keras_combiner.tasks import Reliability, SingleLabel
from tests.cli.documents import labelled_texts

pytestmark = pytest.mark.usefixtures("eager")


def test_figures_are_those_of_keras(trained, data, tmp_path, capsys):
    json_file = tmp_path / "figures.json"
    json_file.write_text("an earlier run's")
    arguments_ = ["--data", str(data), "--json", str(json_file), "--batch-size", "7"]
    assert main(["evaluate", "--model", str(trained.directory), *arguments_]) == 0
    figures = json.loads(json_file.read_text())

    texts, labels = zip(*labelled_texts(40), strict=True)
    classifier = arguments.load_model(trained.directory)
    expected = classifier.evaluate(list(texts), labels, return_dict=True, verbose=0)
    assert figures["documents"] == 40
    assert figures["accuracy"] == pytest.approx(expected["accuracy"])
    assert figures["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert figures["majority_accuracy"] == 0.5
    out = capsys.readouterr().out
    assert "documents          40\n" in out
    assert "majority baseline  0.5000 (tale)\n" in out
    assert f"calibration error  {figures['ece']:.4f}\n" in out
    assert "class    documents  precision  recall\n" in out
    assert f"{figures['accuracy']:.4f}" in out


def test_weights_of_documents(model, tmp_path, capsys):
    texts = [("king", "tale", 2), ("rain", "weather", 0), ("king", "weather", 1)]

    def write(name, rows):
        lines = (json.dumps({"text": x, "label": y, "w": w}) for x, y, w in rows)
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))

    write("weighted", texts)
    write("repeated", [texts[0], texts[0], texts[2]])
    figures = []
    for name, options in (("weighted", ["--weight-field", "w"]), ("repeated", [])):
        json_file = tmp_path / f"{name}.json"
        command = ["evaluate", "--model", model, "--data", str(tmp_path / f"{name}.jsonl")]
        assert main([*command, "--json", str(json_file), *options]) == 0
        figures.append(json.loads(json_file.read_text()))
    assert figures[0]["documents"] == figures[1]["documents"] == 3
    assert figures[0]["weight"] == 3
    for name in ("accuracy", "loss", "ece", "brier", "majority_accuracy"):
        assert figures[0][name] == pytest.approx(figures[1][name], abs=1e-6)
    assert "total weight       3\n" in capsys.readouterr().out
    write("none", [texts[1]])
    none = ["evaluate", "--model", model, "--data", str(tmp_path / "none.jsonl")]
    assert main([*none, "--weight-field", "w"]) == 1
    assert "every 'w' is 0, so that no document counts" in capsys.readouterr().err


def test_measure_by_hand():
    # True classes 0 0 0 1; named 0 1 0 1; class 2 is neither there nor ever named.
    probabilities = np.array(
        [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]
    )
    figures = SingleLabel().measure(np.array([0, 0, 0, 1]), probabilities, ["a", "b", "c"])
    assert figures == {
        "documents": 4,
        "accuracy": 0.75,
        "loss": pytest.approx(np.log(2) * (1 + 2 + 1 + 1) / 4),
        "ece": 0.25,  # 0.5 was said of all, and 0.75 are right
        "brier": (3 * 0.375 + 0.875) / 4,
        "majority_class": "a",
        "majority_accuracy": 0.75,
        "classes": {
            "a": {"documents": 3, "precision": 1.0, "recall": pytest.approx(2 / 3)},
            "b": {"documents": 1, "precision": 0.5, "recall": 1.0},
            "c": {"documents": 0, "precision": None, "recall": None},
        },
        "reliability": dataclasses.asdict(Reliability.of([0.5] * 4, [1, 0, 1, 1])),
    }


def test_sure_and_wrong_is_a_finite_loss():
    figures = SingleLabel().measure(np.array([0]), np.array([[0.0, 1.0]]), ["a", "b"])
    assert figures["loss"] == pytest.approx(-np.log(1e-7))


BAD = {
    "a threshold by label": (
        "evaluate --model {model} --data good.jsonl --threshold tale=0.5",
        "Documents have one label here, and one threshold: a number that the largest probability",
        "Received: {'tale': 0.5}, which is for several labels.",
    ),
    "two thresholds": (
        "evaluate --model {model} --data good.jsonl --threshold 0.5 --threshold 0.6",
        "--threshold has two values for all labels: 0.5 and 0.6. Give one.",
    ),
    "another task than the model's": (
        "evaluate --model {model} --data tags.jsonl",
        "tags.jsonl:1: no field 'label'; fields are 'text', 'labels'.",
    ),
    "no model to evaluate": ("evaluate --model nix.keras --data good.jsonl", "no model at nix"),
    "no model in directory": ("evaluate --model empty --data good.jsonl", "holds no model.keras"),
    "no zip": ("evaluate --model garbage.keras --data good.jsonl", "garbage.keras is not a .keras"),
    "unknown label": (
        "evaluate --model {model} --data other_labels.jsonl",
        "other_labels.jsonl:2: unknown label 'sonnet'. Nearest of the 2 labels",
    ),
    "json is a directory": (
        "evaluate --model {model} --data good.jsonl --json empty",
        "empty is a directory. Name a file for --json.",
    ),
}


@pytest.mark.parametrize(("line", "words"), [(x[0], x[1:]) for x in BAD.values()], ids=list(BAD))
def test_bad_input_is_one_line_and_leaves_nothing(line, words, refused):
    message = refused(line)
    for word in words:
        assert word in message
