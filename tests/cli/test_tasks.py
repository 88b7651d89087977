"""The command line on documents with several labels or a number, in shards, in windows."""

import gzip
import json

import pytest

from keras_combiner.cli.main import main
from keras_combiner.cli.target_summary import TargetSummary
from keras_combiner.datasets import Document, read_documents, write_jsonl

SEVERAL = [Document("rain", ("wet",)), Document("sand", ()), Document("sea", ("wet", "salt"))] * 8
NUMBERS = [Document("one", 1.0), Document("two", 2.0), Document("three", 3.0)] * 8
CLASSES = [Document("rain " * 30, "wet"), Document("sand", "dry"), Document("sea", "wet")] * 8


def write(folder, rows):
    """Shards of the rows, one of them compressed."""
    write_jsonl(folder / "s-0.jsonl", rows[:10])
    write_jsonl(folder / "rest.jsonl", rows[10:])
    content = gzip.compress((folder / "rest.jsonl").read_bytes())
    (folder / "rest.jsonl").unlink()
    (folder / "s-1.jsonl.gz").write_bytes(content)
    return str(folder / "s-*")


@pytest.mark.parametrize(
    ("rows", "words", "as_json"),
    [
        (
            SEVERAL,
            "any of 2 labels: salt 8, wet 16",
            {"documents": 24, "labels": {"salt": 8, "wet": 16}},
        ),
        (
            NUMBERS,
            "numbers from 1 to 3, on average 2",
            {"documents": 24, "mean": 2.0, "min": 1.0, "max": 3.0},
        ),
        (CLASSES, "dry 8, wet 16", {"dry": 8, "wet": 16}),
    ],
)
def test_targets_are_summed_up(rows, words, as_json, tmp_path):
    summary = TargetSummary.of(read_documents(write(tmp_path, rows)))
    assert (str(summary), summary.as_json(), summary.documents) == (words, as_json, 24)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "options", "trained", "evaluated", "answer"),
    [
        (
            SEVERAL,
            ["--pooling", "label", "--lexical"],
            "Validation accuracy 0.",
            ["F1 over all labels", "label  documents  precision  recall", "salt "],
            "labels",
        ),
        (
            NUMBERS,
            [],
            "Validation mean absolute error ",
            ["mean absolute error", "always the mean      0.666667"],
            "value",
        ),
        (
            CLASSES,
            ["--class-weight", "balanced", "--long-texts", "windows"],
            "(always saying ",
            ["majority baseline  0.6667 (wet)"],
            "label",
        ),
    ],
    ids=["multi_label", "regression", "windows"],
)
def test_train_evaluate_predict(rows, options, trained, evaluated, answer, tmp_path, capsys):
    data, model = write(tmp_path, rows), str(tmp_path / "a" / "model.keras")
    command = ["train", "--data", data, "--output", str(tmp_path / "a"), "--epochs", "1"]
    command += ["--tokenizer", "bytes", "--sequence-length", "32", "--block-size", "8"]
    assert main([*command, *options]) == 0
    out = capsys.readouterr().out
    assert trained in out
    assert "Training on 22 documents, " in out and "% padding in batches of " in out
    report = json.loads((tmp_path / "a" / "report.json").read_text())
    assert report["documents"]["all"] == TargetSummary.of(read_documents(data)).as_json()
    assert (tmp_path / "a" / "labels.txt").exists() == (answer != "value")

    figures = tmp_path / "figures.json"
    assert main(["evaluate", "--model", model, "--data", data, "--json", str(figures)]) == 0
    out = capsys.readouterr().out
    assert all(words in out for words in evaluated)
    assert json.loads(figures.read_text())["documents"] == 24

    assert main(["predict", "--model", model, "--data", data, "--json", "--batch-size", "9"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [x["document"] for x in answers] == [f"{data}:{i}" for i in range(1, 25)]
    assert all(answer in x for x in answers)
    if answer == "label":
        assert [x["windows"] for x in answers[:2]] == [7, 1]
    (tmp_path / "document.txt").write_text("rain " * 30)
    assert main(["predict", "--model", model, str(tmp_path / "document.txt")]) == 0
    line = capsys.readouterr().out
    assert ("truncated: the model reads the first 32 tokens" in line) == (answer != "label")
