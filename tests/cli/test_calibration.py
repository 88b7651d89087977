"""The command line with calibrated models: train, evaluate, predict and what lies beside them."""

import json
import types

import numpy as np
import pytest

from keras_combiner import LongDocumentClassifier
from keras_combiner.cli.main import main
from keras_combiner.cli.sidecar_files import sidecar_texts
from keras_combiner.datasets import Document, write_jsonl
from keras_combiner.tasks import Reliability
from keras_combiner.training.plots import plot_reliability

LETTERS = "abcd"
OPTIONS = ("--tokenizer", "bytes", "--sequence-length", "24", "--block-size", "8", "--epochs", "1")


@pytest.mark.usefixtures("eager")
@pytest.mark.slow
@pytest.mark.parametrize("task", ["multi_label", "single_label"])
def test_train_evaluate_predict(task, tmp_path, capsys, monkeypatch):
    history = {"loss": [0.7], "val_loss": [0.6], "accuracy": [0.5], "val_accuracy": [0.5]}
    fitted = types.SimpleNamespace(history=history)
    monkeypatch.setattr(LongDocumentClassifier, "fit", lambda *args, **kwargs: fitted)
    rng = np.random.default_rng(0)
    texts = ["".join(x) for x in rng.choice(list(LETTERS), (30, 22))]
    if task == "single_label":
        labels = rng.choice(["a", "b"], 30).tolist()
    else:
        labels = [tuple(x for x in "ab" if rng.random() < 0.4) for _ in texts]
    data, output = str(tmp_path / "d.jsonl"), tmp_path / "a"
    write_jsonl(data, map(Document, texts, labels))
    command = ["train", "--data", data, "--validation-data", data, "--output", str(output)]
    assert main([*command, *OPTIONS, "--calibrate", "--precision", "0.6"]) == 0
    out = capsys.readouterr().out
    report = json.loads((output / "report.json").read_text())["calibration"]
    assert f"Calibrated on 30 documents: temperature {report['temperature']:.3f}" in out
    assert report["after"]["nll"] <= report["before"]["nll"]
    assert (output / "reliability.png").read_bytes().startswith(b"\x89PNG")
    lines = (output / "thresholds.txt").read_text().splitlines()
    assert [float(x) for x in lines] == list(report["thresholds"].values())
    model = LongDocumentClassifier.load(output)
    assert model.task.thresholds_of(model.labels) == list(report["thresholds"].values())
    assert model.task.temperature == report["temperature"]

    # Evaluated as it was calibrated: these are the same documents.
    figures = tmp_path / "figures.json"
    evaluate = ["evaluate", "--model", str(output), "--data", data, "--json", str(figures)]
    assert main(evaluate) == 0
    measured = json.loads(figures.read_text())
    for name in {"ece", "brier", "accuracy", "f1", "coverage"} & set(report["after"]):
        assert measured[name] == pytest.approx(report["after"][name], abs=1e-3)
    assert "calibration error" in capsys.readouterr().out
    assert main([*evaluate, "--threshold", "0.999999"]) == 0
    measured = json.loads(figures.read_text())
    assert measured["coverage" if task == "single_label" else "f1"] == 0

    predict = ["predict", "--model", str(output), "--data", data, "--json", "--threshold"]
    for threshold, answer in (("0.000001", True), ("0.999999", False)):
        capsys.readouterr()
        assert main([*predict, threshold]) == 0
        answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        key = "label" if task == "single_label" else "labels"
        assert [bool(x[key]) for x in answers] == [answer] * 30
    if task == "single_label":
        return
    by_label = ["--threshold", "a=0.999999", "--threshold", "0.000001"]
    assert main([*predict[:-1], *by_label]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [x["labels"] for x in answers] == [["b"]] * 30
    assert main([*evaluate, *by_label]) == 0
    classes = json.loads(figures.read_text())["classes"]
    assert (classes["a"]["recall"], classes["b"]["recall"]) == (0.0, 1.0)
    for command in (predict[:-1], evaluate):
        capsys.readouterr()
        assert main([*command, "--threshold", "c=0.5"]) == 1
        assert "--threshold: unknown label 'c'. Nearest of the 2 labels" in capsys.readouterr().err


def test_without_a_calibration_there_is_no_file_of_thresholds():
    model = LongDocumentClassifier.from_texts(
        ["a"], [["a", "b"]], task="multi_label", sequence_length=8, tokenizer="bytes"
    )
    assert list(sidecar_texts(model)) == ["labels.txt"]


def test_a_plot_of_empty_bins(tmp_path):
    table = Reliability.of([0.9, 0.95, 0.3], [1, 0, 1])
    plot_reliability(tmp_path / "r.png", {"before": table, "after": table})
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
