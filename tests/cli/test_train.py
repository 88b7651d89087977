"""`keras-combiner train`."""

import csv
import json
import sys
import types

import pytest

from keras_combiner.cli import arguments, training_arguments
from keras_combiner.cli.main import build_parser, main
from keras_combiner.cli.training_documents import read_training_documents
from keras_combiner.cli.training_run import plot_history
from keras_combiner.factorizations import Fixed, Window
from tests.cli.documents import SEQUENCE_LENGTH, labelled_texts, write_jsonl


def test_says_what_it_reads_and_what_to_do_next(trained, data):
    lines = trained.printed.splitlines()
    assert lines[0] == f"Reading {data} ..."
    assert lines[1] == "40 documents, 2 classes: tale 20, weather 20"
    assert lines[2].startswith("Validation: 4 documents (held out): ")
    assert any(line.startswith("Validation accuracy ") for line in lines)
    for command in ("evaluate", "predict", "export"):
        assert f"  keras-combiner {command} --model {trained.directory}" in trained.printed


def test_writes_a_model_and_its_sidecar_files_and_nothing_else(trained):
    names = {path.name for path in trained.directory.iterdir()}
    assert names == {
        *("model.keras", "labels.txt", "vocab.txt", "report.json"),
        *("training.png", "confusion.png", "logs", "checkpoints"),
    }
    checkpoints = {path.name for path in (trained.directory / "checkpoints").iterdir()}
    assert checkpoints == {"best.keras", "last.npz", "settings.json", "start.keras"}
    assert list((trained.directory / "logs" / "train").glob("events.*"))
    assert list((trained.directory / "logs" / "validation").glob("events.*"))
    for name in ("training.png", "confusion.png"):
        assert (trained.directory / name).read_bytes().startswith(b"\x89PNG")
    assert (trained.directory / "labels.txt").read_text() == "tale\nweather\n"
    vocabulary = (trained.directory / "vocab.txt").read_text().splitlines()
    assert vocabulary[0] == "[PAD]" and len(vocabulary) <= 100


def test_report(trained, data):
    report = json.loads((trained.directory / "report.json").read_text())
    assert report["arguments"]["data"] == str(data)
    assert report["arguments"]["seed"] == 3
    assert not {"run", "command", "debug"} & set(report["arguments"])
    assert report["documents"]["all"] == {"tale": 20, "weather": 20}
    assert sum(report["documents"]["validation"].values()) == 4
    assert report["training_data"]["documents"] == 36
    assert report["epochs"][0]["documents_per_second"] > 0
    assert report["best_epoch"] == report["epoch"] == 1
    assert set(report["history"]) == {"accuracy", "loss", "val_accuracy", "val_loss"}
    assert report["metrics"]["val_loss"] == report["history"]["val_loss"][-1]
    assert {"keras", "tensorflow", "keras_combiner"} <= set(report["versions"])


def test_vocabulary_file_is_the_tokenizers(trained):
    from keras_combiner import LongDocumentClassifier
    from keras_combiner.text import WordPieceTokenizer

    tokenizer = WordPieceTokenizer(trained.directory / "vocab.txt")
    classifier = LongDocumentClassifier.load(trained.directory)
    assert tokenizer.vocabulary == classifier.tokenizer.vocabulary


def test_folders_bytes_validation_data_and_overwrite(tmp_path, capsys, monkeypatch):
    fitted = {}

    def fit(self, documents, **kwargs):
        fitted.update(kwargs, documents=list(documents))
        last = {"accuracy": 0.5, "loss": 0.7, "val_accuracy": 0.75, "val_loss": 0.6}
        return types.SimpleNamespace(history={name: [0.0, x] for name, x in last.items()})

    monkeypatch.setattr("keras_combiner.LongDocumentClassifier.fit", fit)
    for i, (text, label) in enumerate(labelled_texts(8)):
        (tmp_path / "texts" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / label / f"{i}.txt").write_text(text)
    (tmp_path / "texts" / "tale ").mkdir()  # a class of its own, of which a warning says so
    (tmp_path / "texts" / "tale " / "8.txt").write_text("king")
    with open(tmp_path / "validation.csv", "w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *labelled_texts(4)])
    output = tmp_path / "runs" / "a b"
    output.mkdir(parents=True)
    for name in ("model.keras", "vocab.txt"):
        (output / name).write_text("of an earlier run")
    (output / "notes.txt").write_text("the user's")
    code = main(
        [
            *("train", "--data", str(tmp_path / "texts"), "--output", str(output)),
            *("--validation-data", str(tmp_path / "validation.csv"), "--overwrite"),
            *("--tokenizer", "bytes", "--sequence-length", "32", "--block-size", "8"),
            *("--summary", "max", "--epochs", "2", "--batch-size", "8"),
            *("--factorization", "window", "fixed", "--first-blocks", "1", "--locality", "1.5"),
            "--no-lexical",
        ]
    )
    assert code == 0
    assert (output / "labels.txt").read_text() == "tale\ntale \nweather\n"
    assert (fitted["epochs"], fitted["batch_size"]) == (2, 8)
    assert len(fitted["documents"]) == 9
    assert list(fitted["validation_data"]) == labelled_texts(4)
    out, err = capsys.readouterr()
    assert err.count("look alike") == 1
    assert "\nValidation accuracy 0.750, loss 0.600 on 4 documents (always saying" in out
    assert f"--model '{output}'" in out
    names = {path.name for path in output.iterdir()}
    plots = {"training.png", "confusion.png"}
    assert names == {"model.keras", "labels.txt", "report.json", "notes.txt", "checkpoints"} | plots
    classifier = arguments.load_model(output)
    assert classifier.lexical is False
    backbone = classifier.backbone
    assert [backbone.arguments[x] for x in ("block_size", "locality")] == [8, 1.5]
    window, fixed = (backbone.get_layer(f"encoder_{i}").attention.plan for i in range(2))
    assert window.get_config() == Window(8).get_config()
    assert fixed.get_config() == Fixed(8, first_blocks=1).get_config()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {}),
        ("--factorization fixed", {"factorization": "fixed", "static_length": False}),
        (
            "--factorization window logsparse",
            {"factorization": ["window", "logsparse"], "static_length": True},
        ),
    ],
)
def test_plans_that_need_one_length_have_it(line, expected):
    options = parsed(f"{line} --size tiny")
    training_arguments.settle(options)
    for found in (
        training_arguments.untrained_options(options),
        training_arguments.pretrained_options(parsed(line)),
    ):
        assert {x: found[x] for x in ("factorization", "static_length") if x in found} == expected


def parsed(line):
    return build_parser().parse_args(["train", "--data", "a", "--output", "b", *line.split()])


@pytest.mark.parametrize("value", ["-1", "16.5", "nan", "much"])
def test_a_locality_out_of_range_is_a_usage_error(value, capsys):
    with pytest.raises(SystemExit) as raised:
        parsed(f"--locality={value}")
    assert raised.value.code == 2
    assert f"expected a number from 0 to 16, not {value!r}" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_class_weights_are_those_of_the_labels(ending, tmp_path, monkeypatch):
    seen = {}

    def fit(self, documents, **kwargs):
        seen.update(kwargs, labels=self.labels)
        return types.SimpleNamespace(history={name: [0.5] for name in ("accuracy", "loss")})

    monkeypatch.setattr("keras_combiner.LongDocumentClassifier.fit", fit)
    data = tmp_path / f"texts.{ending}"
    if ending == "csv":
        data.write_text("text,label\na,2.0\nb,TRUE\nc,a=b\n")
    else:
        data.write_text('{"text": "a", "labels": [2.0, true]}\n{"text": "c", "labels": ["a=b"]}\n')
    command = ["train", "--data", str(data), "--output", str(tmp_path / "a"), "--tokenizer"]
    command += ["bytes", "--sequence-length", "16", "--epochs", "1", "--validation-split", "0"]
    for each in ("2=3", "true=0.5", "a=b=0"):
        command += ["--class-weight", each]
    assert main(command) == 0
    assert seen["labels"] == ["2", "True", "a=b"]
    assert seen["class_weight"] == {"2": 3.0, "True": 0.5, "a=b": 0.0}
    report = json.loads((tmp_path / "a" / "report.json").read_text())
    assert report["arguments"]["class_weight"] == {"2": 3.0, "true": 0.5, "a=b": 0.0}


def test_failed_training_leaves_nothing(data, tmp_path, capsys, monkeypatch):
    # A missing extra, which shows before the vocabulary is learned.
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    assert main(["train", "--data", str(data), "--output", str(tmp_path / "a")]) == 1
    captured = capsys.readouterr()
    assert "pip install keras_combiner[text]" in captured.err
    assert "Learning" not in captured.out
    assert not (tmp_path / "a").exists()


def test_a_finished_training_is_not_resumed(trained, data, capsys):
    options = [
        *("train", "--data", str(data), "--output", str(trained.directory), "--size", "tiny"),
        *("--sequence-length", str(SEQUENCE_LENGTH), "--vocabulary-size", "100"),
        *("--epochs", "1", "--batch-size", "12", "--resume", "--class-weight", "tale=1"),
    ]
    weather = ["--class-weight", "weather=1.5"]
    assert main([*options, *weather, "--seed", "3"]) == 0
    assert "There is nothing to resume" in capsys.readouterr().out
    assert main([*options, *weather, "--seed", "4"]) == 1
    assert "a training with another --seed (it was 3)" in capsys.readouterr().err
    assert main([*options, "--class-weight", "weather=2", "--seed", "3"]) == 1
    assert "another --class-weight (it was {'weather': 1.5, 'tale': 1.0})" in (
        capsys.readouterr().err
    )


def test_without_matplotlib_there_are_no_plots(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert plot_history(tmp_path, {"loss": [1.0]}) == []
    assert "pip install keras_combiner[benchmarks]" in capsys.readouterr().out


def test_a_class_that_is_all_held_out_is_pointed_at(tmp_path, capsys):
    rows = labelled_texts(20)
    rows[held_out_index(tmp_path, rows)] = ("a text of its own", "rare")
    documents = read(tmp_path, rows, validation_split=0.05)
    assert documents.counts.labels["rare"] == documents.validation_counts.labels["rare"] == 1
    assert "rare" not in set(documents.training.labels())
    out = capsys.readouterr().out
    assert "Validation: 1 document (held out): rare 1\n" in out
    assert "Note: all documents of these classes are held out: rare\n" in out


def test_without_validation(tmp_path, capsys, monkeypatch):
    history = types.SimpleNamespace(history={"accuracy": [0.5], "loss": [0.7]})
    monkeypatch.setattr("keras_combiner.LongDocumentClassifier.fit", lambda *_, **__: history)
    documents = read(tmp_path, labelled_texts(4), validation_split=0)
    assert len(list(documents.training)) == documents.counts.documents == 4
    assert documents.validation is documents.validation_counts is None
    command = ["train", "--data", str(tmp_path / "texts.jsonl"), "--output", str(tmp_path / "a")]
    command += ["--tokenizer", "bytes", "--epochs", "1", "--validation-split", "0"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "\nValidation: none\n" in out
    assert "\nTraining accuracy 0.500, loss 0.700 (no validation)\n" in out


def read(tmp_path, rows, validation_split):
    path = write_jsonl(tmp_path / "texts.jsonl", rows)
    command = ["train", "--data", str(path), "--output", "a"]
    command += ["--validation-split", str(validation_split)]
    return read_training_documents(build_parser().parse_args(command))


def held_out_index(tmp_path, rows):
    from keras_combiner.datasets import read_documents

    numbered = [(str(i), "x") for i in range(len(rows))]
    reader = read_documents(write_jsonl(tmp_path / "numbers.jsonl", numbered))
    return int(next(iter(reader.split(0.05)[1])).text)


BAD = {
    "no data": ("train --data nix.jsonl --output o", "nix.jsonl", "No such file or directory"),
    "calibration without validation": (
        "train --data good.jsonl --output o --calibrate --validation-split 0",
        "--calibrate needs documents that are not trained on",
    ),
    "calibration on too few": (
        "train --data good.jsonl --output o --calibrate --validation-split .5",
        "--calibrate needs at least 10 documents for validation",
    ),
    "precision alone": ("train --data good.jsonl --output o --precision .9", "what --calibrate is"),
    "calibration of numbers": (
        "train --data numbers.jsonl --output o --calibrate",
        "--calibrate is for labels, which have probabilities. numbers.jsonl is for the task 'regr",
    ),
    "unknown ending": ("train --data data.xml --output o", "data.xml: cannot tell"),
    "no Parquet": ("train --data data.parquet --output o", "data.parquet: not a Parquet file"),
    "no file of a pattern": (
        "train --data nix-*.jsonl --output o",
        "nix-*.jsonl",
        "No file matches the pattern",
    ),
    "mixed targets": (
        "train --data mixed.jsonl --output o",
        "mixed.jsonl:2: no field 'label'; fields are 'text', 'target'. All records of a data set",
        "must have the same kind of target: 'label'.",
    ),
    "weights of no classes": (
        "train --data numbers.jsonl --class-weight balanced --output o",
        "--class-weight is for documents with labels. numbers.jsonl is for the task",
    ),
    "weights of numbers": (
        "train --data numbers.jsonl --class-weight 1.5=2 --output o",
        "--class-weight is for documents with labels. numbers.jsonl is for the task",
    ),
    "weight of an unknown label": (
        "train --data good.jsonl --class-weight tales=2 --output o",
        "--class-weight: unknown label 'tales'. Nearest of the 2 labels that are known: 'tale'.",
    ),
    "weight of an unknown label among several": (
        "train --data tags.jsonl --class-weight z=2 --output o",
        "--class-weight: unknown label 'z'. Nearest of the 1 labels that are known: 'x'.",
    ),
    "two weights of a label": (
        "train --data good.jsonl --class-weight tale=2 --class-weight tale=3 --output o",
        "--class-weight has two values for the label 'tale': 2.0 and 3.0. Give one.",
    ),
    "balanced and a weight": (
        "train --data good.jsonl --class-weight balanced --class-weight tale=3 --output o",
        "--class-weight balanced weighs every class. Leave it out, or tale=3.",
    ),
    "no weights": (
        "train --data tags.jsonl --weight-field importance --output o",
        "tags.jsonl:1: no field 'importance'; fields are 'text', 'labels'. Name it with "
        "--weight-field",
    ),
    "plans of other layers": (
        "train --data good.jsonl --size small --factorization window fixed --output o",
        "one for each layer, of which --size small has 4. Received: 2, window fixed.",
    ),
    "first blocks of another plan": (
        "train --data good.jsonl --factorization window --first-blocks 1 --output o",
        "--first-blocks is for the plan fixed. Leave it out, or let --factorization have",
    ),
    "output in use": (
        "train --data good.jsonl --output used",
        "used/model.keras exists. Choose another --output, or replace it with --overwrite.",
    ),
    "output is a file": ("train --data good.jsonl --output good.jsonl", "good.jsonl is a file."),
    "one class": ("train --data one_class.jsonl --output o", "every document has the label 'x'"),
    "bad line": (
        "train --data bad_line.jsonl --output o",
        "bad_line.jsonl:2: no field 'text'; fields are 'txet'. Name it with --text-field",
    ),
    "no such field": (
        "train --data good.jsonl --output o --label-field stars",
        "good.jsonl:1: no field 'stars'; fields are 'text', 'label'. Name it with --label-field",
    ),
    "same fields": (
        "train --data good.jsonl --output o --text-field label",
        "text_field and label_field must differ",
    ),
    "label of two lines": ("train --data broken_label.jsonl --output o", "'y\\nz' holds a line"),
    "nothing to validate on": (
        "train --data good.jsonl --output o --validation-split 0.01",
        "--validation-split of 0.01 leaves no document of 6 for validation. Give more, or 0",
    ),
    "unknown validation label": (
        "train --data good.jsonl --validation-data other_labels.jsonl --output o",
        "other_labels.jsonl:2: unknown label 'sonnet'. Nearest of the 2 labels",
    ),
}


@pytest.mark.parametrize(("line", "words"), [(x[0], x[1:]) for x in BAD.values()], ids=list(BAD))
def test_bad_input_is_one_line_and_leaves_nothing(line, words, refused):
    message = refused(line)
    for word in words:
        assert word in message
