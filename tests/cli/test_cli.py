import contextlib
import csv
import dataclasses
import io
import json
import pathlib
import re
import subprocess
import sys
import types

import numpy as np
import pytest

from keras_combiner.cli import (
    arguments,
    errors,
    export,
    label_counts,
    strategy,
    train,
    training_arguments,
)
from keras_combiner.cli import main as cli_main
from keras_combiner.cli.main import COMMANDS, main
from keras_combiner.cli.target_summary import TargetSummary
from keras_combiner.models.calibration import LEAST_DOCUMENTS
from keras_combiner.tasks import TASKS, Reliability, SingleLabel

SEQUENCE_LENGTH = 64
WORDS = {
    "tale": "once upon a time long ago there was a king and a queen in a dark forest",
    "weather": "tomorrow rain and wind from the coast with some sun and clouds later on",
}


def labelled_texts(count):
    """Texts that are told apart by any of their words, classes in turn."""
    generator = np.random.default_rng(0)
    labels = [list(WORDS)[i % 2] for i in range(count)]
    return [(" ".join(generator.permutation(WORDS[label].split())), label) for label in labels]


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps({"text": t, "label": x}) + "\n" for t, x in rows))
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return write_jsonl(tmp_path_factory.mktemp("data") / "texts.jsonl", labelled_texts(40))


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory):
    """A directory that `train` wrote, and what it printed."""
    directory = tmp_path_factory.mktemp("runs") / "a"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = main(
            [
                *("train", "--data", str(data), "--output", str(directory), "--size", "tiny"),
                *("--sequence-length", str(SEQUENCE_LENGTH), "--vocabulary-size", "100"),
                *("--epochs", "1", "--batch-size", "4", "--seed", "3"),
            ]
        )
    assert code == 0
    return types.SimpleNamespace(directory=directory, printed=printed.getvalue())


@pytest.fixture(scope="module")
def exported(trained, data, tmp_path_factory):
    directory = tmp_path_factory.mktemp("out")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = main(
            [
                *("export", "--model", str(trained.directory), "--data", str(data)),
                *("--documents", "3", "--saved-model", str(directory / "1")),
                *("--litert", str(directory / "model.tflite"), "--quantization", "float16"),
            ]
        )
    assert code == 0
    return types.SimpleNamespace(directory=directory, printed=printed.getvalue())


@pytest.fixture
def model(trained):
    return str(trained.directory / "model.keras")


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "document.txt"
    path.write_text("rain and wind tomorrow")
    return str(path)


def give_standard_input(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_check_data_counts_as_a_model_does(data, model, capsys):
    assert cli_main.main(["check-data", str(data), "--model", model]) == 0
    out = capsys.readouterr().out
    assert f"longer     0 documents (0%) of more than {SEQUENCE_LENGTH} tokens" in out


class TestTrain:
    def test_says_what_it_reads_and_what_to_do_next(self, trained, data):
        lines = trained.printed.splitlines()
        assert lines[0] == f"Reading {data} ..."
        assert lines[1] == "40 documents, 2 classes: tale 20, weather 20"
        assert lines[2].startswith("Validation: 4 documents (held out): ")
        assert any(line.startswith("Validation accuracy ") for line in lines)
        for command in ("evaluate", "predict", "export"):
            assert f"  keras-combiner {command} --model {trained.directory}" in trained.printed

    def test_writes_a_model_and_its_companions_and_nothing_else(self, trained):
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

    def test_report(self, trained, data):
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

    def test_vocabulary_file_is_the_tokenizers(self, trained):
        from keras_combiner import LongDocumentClassifier
        from keras_combiner.text import WordPieceTokenizer

        tokenizer = WordPieceTokenizer(trained.directory / "vocab.txt")
        classifier = LongDocumentClassifier.load(trained.directory)
        assert tokenizer.vocabulary == classifier.tokenizer.vocabulary

    def test_folders_bytes_validation_data_and_overwrite(self, tmp_path, capsys, monkeypatch):
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
        assert (
            names
            == {"model.keras", "labels.txt", "report.json", "notes.txt", "checkpoints"} | plots
        )
        assert arguments.load_model(output).backbone.arguments["block_size"] == 8

    def test_failed_training_leaves_nothing(self, data, tmp_path, capsys, monkeypatch):
        # A missing extra, which shows before the vocabulary is learned.
        monkeypatch.setitem(sys.modules, "tensorflow_text", None)
        assert main(["train", "--data", str(data), "--output", str(tmp_path / "a")]) == 1
        captured = capsys.readouterr()
        assert "pip install keras_combiner[text]" in captured.err
        assert "Learning" not in captured.out
        assert not (tmp_path / "a").exists()

    def test_a_finished_training_is_not_resumed(self, trained, data, capsys):
        options = [
            *("train", "--data", str(data), "--output", str(trained.directory), "--size", "tiny"),
            *("--sequence-length", str(SEQUENCE_LENGTH), "--vocabulary-size", "100"),
            *("--epochs", "1", "--batch-size", "4", "--resume"),
        ]
        assert main([*options, "--seed", "3"]) == 0
        assert "There is nothing to resume" in capsys.readouterr().out
        assert main([*options, "--seed", "4"]) == 1
        assert "a training with another --seed (it was 3)" in capsys.readouterr().err

    def test_without_matplotlib_there_are_no_plots(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        assert train._plots(tmp_path, {"loss": [1.0]}, None, None) == []
        assert "pip install keras_combiner[benchmarks]" in capsys.readouterr().out

    def test_a_class_that_is_all_held_out_is_pointed_at(self, tmp_path, capsys):
        rows = labelled_texts(20)
        rows[_held_out_index(tmp_path, rows)] = ("a text of its own", "rare")
        training, counts, _, validation_counts = _read(tmp_path, rows, validation_split=0.05)
        assert counts.labels["rare"] == validation_counts.labels["rare"] == 1
        assert "rare" not in set(training.labels())
        out = capsys.readouterr().out
        assert "Validation: 1 document (held out): rare 1\n" in out
        assert "Note: all documents of these classes are held out: rare\n" in out

    def test_without_validation(self, tmp_path, capsys):
        training, counts, validation, validation_counts = _read(
            tmp_path, labelled_texts(4), validation_split=0.0
        )
        assert len(list(training)) == counts.documents == 4
        assert validation is validation_counts is None
        train._print_metrics({"accuracy": 0.5, "loss": 0.7}, None, "accuracy")
        out = capsys.readouterr().out
        assert out.endswith(
            "Validation: none\nTraining accuracy 0.500, loss 0.700 (no validation)\n"
        )


def _read(tmp_path, rows, validation_split):
    path = write_jsonl(tmp_path / "texts.jsonl", rows)
    fields = {"text_field": "text", "label_field": None, "task": None}
    fields |= {"class_weight": None, "weight_field": None}
    options = {"data": path, "validation_data": None, "validation_split": validation_split}
    return train._read(types.SimpleNamespace(**options, **fields))


def _held_out_index(tmp_path, rows):
    from keras_combiner.datasets import read_documents

    numbered = [(str(i), "x") for i in range(len(rows))]
    reader = read_documents(write_jsonl(tmp_path / "numbers.jsonl", numbered))
    return int(next(iter(reader.split(0.05)[1])).text)


class TestEvaluate:
    def test_figures_are_those_of_keras(self, trained, data, tmp_path, capsys):
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

    def test_weights_of_documents(self, model, tmp_path, capsys):
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

    def test_measure_by_hand(self):
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

    def test_sure_and_wrong_is_a_finite_loss(self):
        figures = SingleLabel().measure(np.array([0]), np.array([[0.0, 1.0]]), ["a", "b"])
        assert figures["loss"] == pytest.approx(-np.log(1e-7))


class TestPredict:
    def test_json(self, model, document, capsys, monkeypatch):
        give_standard_input(monkeypatch, b"king " * 100)
        assert main(["predict", "--model", model, "--json", document, "-"]) == 0
        first, second = map(json.loads, capsys.readouterr().out.splitlines())
        assert list(first) == ["document", "label", "probabilities", "tokens", "truncated"]
        assert first["document"] == document
        assert (first["tokens"], first["truncated"]) == (6, False)
        assert first["label"] == next(iter(first["probabilities"]))
        assert sum(first["probabilities"].values()) == pytest.approx(1)
        assert second["document"] == "-"
        assert (second["tokens"], second["truncated"]) == (SEQUENCE_LENGTH, True)

    def test_readable(self, model, document, capsys, monkeypatch):
        give_standard_input(monkeypatch, b"king " * 100)
        assert main(["predict", "--model", model, "--batch-size", "1", document, "-"]) == 0
        first, second = capsys.readouterr().out.splitlines()
        assert first.startswith(f"{document}: ")
        assert "tale 0." in first and "weather 0." in first
        assert "cut" not in first
        assert second.endswith("; cut: the model reads the first 64 tokens only")

    def test_labels_are_not_looked_at(self, model, tmp_path, capsys):
        path = tmp_path / "d.jsonl"
        path.write_text('{"text": "rain", "label": [1]}\n{"text": "wind", "label": NaN}\n')
        assert main(["predict", "--model", model, "--json", "--data", str(path)]) == 0
        lines = list(map(json.loads, capsys.readouterr().out.splitlines()))
        assert [x["document"] for x in lines] == [f"{path}:1", f"{path}:2"]

    def test_line_ends_and_byte_order_marks_change_nothing(self, model, tmp_path, capsys):
        contents = {
            "plain.txt": b"rain and\nwind",
            "marked.txt": b"\xef\xbb\xbfrain and\r\nwind",
            "wide.txt": "rain and\r\nwind".encode("utf-16"),
            "empty.txt": b"",
        }
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
        names = [str(tmp_path / name) for name in contents]
        assert main(["predict", "--model", model, "--json", *names]) == 0
        plain, marked, wide, empty = map(json.loads, capsys.readouterr().out.splitlines())
        assert marked["probabilities"] == pytest.approx(plain["probabilities"])
        assert wide["probabilities"] == pytest.approx(plain["probabilities"])
        assert empty["tokens"] == 2


class TestExport:
    def test_reports_both(self, exported):
        lines = exported.printed.splitlines()
        for name in ("1", "model.tflite"):
            path = exported.directory / name
            assert f"{path} against its model on 3 documents:" in lines
        assert exported.printed.count("| accuracy of the model |") == 2
        assert lines[-1] == f"labels.txt and vocab.txt for it in {exported.directory}"

    def test_measures_for_a_report(self, trained, data, tmp_path, capsys):
        report, model = tmp_path / "report.json", tmp_path / "model.tflite"
        options = ["--data", str(data), "--documents", "4"]
        options += ["--max-accuracy-drop", "0.5", "--report", str(report)]
        command = ["export", "--model", str(trained.directory), "--litert", str(model), *options]
        assert main(command) == 0
        assert "| median latency, 2 threads |" in capsys.readouterr().out
        (figures,) = json.loads(report.read_text())
        assert (figures["path"], figures["documents"]) == (str(model), 4)
        assert figures["milliseconds_1_thread"] > 0
        assert 0 <= figures["accuracy"] <= 1

    def test_a_file_that_takes_text_holds_the_vocabulary(self, trained, tmp_path, monkeypatch):
        _export_nothing(monkeypatch)
        command = ["export", "--model", str(trained.directory), "--takes", "text"]
        assert main([*command, "--litert", str(tmp_path / "a.tflite")]) == 0
        assert [x.name for x in tmp_path.iterdir()] == ["labels.txt"]

    def test_documents_without_labels_are_compared_only(self, trained, tmp_path, monkeypatch):
        seen = {}

        def export_litert(self, path, **options):
            seen.update(options)
            return "a report"

        monkeypatch.setattr("keras_combiner.LongDocumentClassifier.export_litert", export_litert)
        path = tmp_path / "texts.jsonl"
        path.write_text('{"text": "rain", "label": "tale"}\n{"text": "wind"}\n')
        command = ["export", "--model", str(trained.directory), "--data", str(path)]
        assert main([*command, "--litert", str(tmp_path / "a.tflite")]) == 0
        assert seen["documents"] == ["rain", "wind"]
        assert seen["labels"] is None and seen["measure"] is False

    def test_writes_what_a_device_needs(self, exported, trained):
        names = {path.name for path in exported.directory.iterdir()}
        assert names == {"1", "model.tflite", "labels.txt", "vocab.txt"}
        for name in ("labels.txt", "vocab.txt"):
            written = (exported.directory / name).read_bytes()
            assert written == (trained.directory / name).read_bytes()

    def test_refuses_what_exists(self, exported, model, capsys):
        for option, name in (("--saved-model", "1"), ("--litert", "model.tflite")):
            assert main(["export", "--model", model, option, str(exported.directory / name)]) == 1
            assert f"{name} exists. Choose another path, or" in capsys.readouterr().err

    def test_the_models_own_companions_may_stay(self, trained, tmp_path, monkeypatch, capsys):
        # Beside the model, where train wrote them.
        _export_nothing(monkeypatch)
        own = str(trained.directory / "other.tflite")
        assert main(["export", "--model", str(trained.directory), "--litert", own]) == 0
        (tmp_path / "labels.txt").write_text("another\nmodel's\n")
        other = str(tmp_path / "model.tflite")
        assert main(["export", "--model", str(trained.directory), "--litert", other]) == 1
        assert "labels.txt exists and belongs to another model" in capsys.readouterr().err
        assert not (tmp_path / "vocab.txt").exists()

        replace = ["export", "--model", str(trained.directory), "--litert", other, "--overwrite"]
        assert main(replace) == 0
        assert (tmp_path / "labels.txt").read_text() == "tale\nweather\n"

    def test_overwrite_takes_away_what_the_new_model_does_not_have(self, tmp_path, monkeypatch):
        from keras_combiner import LongDocumentClassifier

        _export_nothing(monkeypatch)
        texts = (["a", "b"], ["x", "y"])
        LongDocumentClassifier.from_texts(*texts, sequence_length=8, tokenizer="bytes").save(
            tmp_path / "bytes.keras"
        )
        (tmp_path / "vocab.txt").write_text("another\nmodel's\n")
        command = ["export", "--model", str(tmp_path / "bytes.keras"), "--onnx"]
        assert main([*command, str(tmp_path / "a.onnx")]) == 1
        assert main([*command, str(tmp_path / "a.onnx"), "--overwrite"]) == 0
        assert sorted(x.name for x in tmp_path.iterdir()) == ["bytes.keras", "labels.txt"]

    def test_calibrates_and_takes_lengths(self, model, data, tmp_path, capsys):
        path = str(tmp_path / "model.tflite")
        options = ["--quantization", "int8", "--calibration-data", str(data)]
        options += ["--sequence-lengths", "16", "64", "--litert", path]
        assert main(["export", "--model", model, *options]) == 0
        assert capsys.readouterr().out.startswith(f"{path} against its model on ")
        from ai_edge_litert.interpreter import Interpreter

        names = Interpreter(model_path=path).get_signature_list()
        assert set(names) == {"serving_default", "serving_64", "serving_16"}

    def test_first_stays_when_second_fails(self, model, tmp_path, monkeypatch, capsys):
        _export_nothing(monkeypatch, error=RuntimeError("LiteRT has no built-in op for: Foo."))
        saved_model, litert = str(tmp_path / "1"), str(tmp_path / "model.tflite")
        options = ["--saved-model", saved_model, "--litert", litert]
        assert main(["export", "--model", model, *options]) == 1
        captured = capsys.readouterr()
        assert captured.out == f"a report on {saved_model}\n"
        assert captured.err.splitlines() == [
            f"keras-combiner: {saved_model} was written and stays; {litert} was not",
            "keras-combiner: error: LiteRT has no built-in op for: Foo.",
        ]
        assert list(tmp_path.iterdir()) == []  # nor any companion

    def test_what_goes_with_an_onnx_file(self, model, tmp_path, monkeypatch, capsys):
        _export_nothing(monkeypatch)
        text, onnx = str(tmp_path / "a.tflite"), str(tmp_path / "a.onnx")
        options = ["--litert", text, "--takes", "text", "--onnx", onnx]
        assert main(["export", "--model", model, *options]) == 0
        assert capsys.readouterr().out.splitlines() == [
            *(f"a report on {text}", "", f"labels.txt for it in {tmp_path}", ""),
            *(f"a report on {onnx}", "", f"labels.txt and vocab.txt for it in {tmp_path}"),
        ]
        assert sorted(x.name for x in tmp_path.iterdir()) == ["labels.txt", "vocab.txt"]

    def test_lays_versions_out_for_tf_serving(self, model, tmp_path, monkeypatch, capsys):
        made = []

        def export(classifier, directory, version, **options):
            made.append((directory, version, options["overwrite"]))
            return "a report"

        monkeypatch.setattr("keras_combiner.export.export_for_tf_serving", export)
        directory = tmp_path / "serving" / "my_model"
        (directory / "7").mkdir(parents=True)
        for path, *options in ((directory,), (directory / "8",), (directory / "7", "--overwrite")):
            line = ["export", "--model", model, "--saved-model", str(path), "--tf-serving"]
            assert main([*line, *options]) == 0
        assert made == [(directory, None, False), (directory, 8, False), (directory, 7, True)]
        assert capsys.readouterr().out.splitlines() == ["a report"] * 3

    def test_overwrite_spares_a_directory_of_other_files(self, model, tmp_path, capsys):
        (tmp_path / "thesis.txt").write_text("years of work")
        options = ["--saved-model", str(tmp_path), "--overwrite"]
        assert main(["export", "--model", model, *options]) == 1
        assert "holds other files than a SavedModel" in capsys.readouterr().err
        assert (tmp_path / "thesis.txt").exists()


def _export_nothing(monkeypatch, error=None):
    """Has the export functions, which have tests of their own, only say that they were called."""
    from keras_combiner import LongDocumentClassifier

    def export_litert(self, path, **kwargs):
        if error:
            raise error
        return f"a report on {path}"

    monkeypatch.setattr(LongDocumentClassifier, "export_litert", export_litert)
    for name in ("export_saved_model", "export_onnx"):
        monkeypatch.setattr(
            LongDocumentClassifier, name, lambda self, path, **_: f"a report on {path}"
        )


def _files(tmp_path):
    """Files that are wrong in some way each; the names are used in BAD."""
    write_jsonl(tmp_path / "good.jsonl", labelled_texts(6))
    write_jsonl(tmp_path / "one_class.jsonl", [("a", "x"), ("b", "x")])
    write_jsonl(tmp_path / "other_labels.jsonl", [("a", "tale"), ("b", "sonnet")])
    write_jsonl(tmp_path / "broken_label.jsonl", [("a", "x"), ("b", "y\nz")])
    (tmp_path / "bad_line.jsonl").write_text('{"text": "a", "label": "x"}\n{"txet": "b"}\n')
    (tmp_path / "no_labels.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "data.parquet").write_text("no magic")
    (tmp_path / "data.xml").write_text("")
    (tmp_path / "mixed.jsonl").write_text(
        '{"text": "a", "label": "x"}\n{"text": "b", "target": 1}\n'
    )
    (tmp_path / "numbers.jsonl").write_text('{"text": "a", "target": 1.5}\n' * 8)
    (tmp_path / "tags.jsonl").write_text('{"text": "a", "labels": ["x"]}\n' * 8)
    (tmp_path / "numbers.jsonl").write_text('{"text": "a", "target": 1.5}\n' * 8)
    (tmp_path / "garbage.keras").write_text("no zip file")
    (tmp_path / "empty").mkdir()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "model.keras").write_text("a model")
    (tmp_path / "folder.tflite").mkdir()
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "saved_model.pb").write_text("a SavedModel")


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
    "no Parquet": ("train --data data.parquet --output o", "data.parquet: no Parquet file"),
    "no file of a pattern": (
        "train --data nix-*.jsonl --output o",
        "nix-*.jsonl",
        "No file is named so",
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
    "no weights": (
        "train --data tags.jsonl --weight-field importance --output o",
        "tags.jsonl:1: no field 'importance'; fields are 'text', 'labels'. Name it with "
        "--weight-field",
    ),
    "another task than the model's": (
        "evaluate --model {model} --data tags.jsonl",
        "tags.jsonl:1: no field 'label'; fields are 'text', 'labels'.",
    ),
    "two kinds of input": (
        "predict --model {model} --data good.jsonl good.jsonl",
        "Name text files or --data, not both.",
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
    "no model to evaluate": ("evaluate --model nix.keras --data good.jsonl", "no model at nix"),
    "no model in directory": ("evaluate --model empty --data good.jsonl", "holds no model.keras"),
    "no zip": ("evaluate --model garbage.keras --data good.jsonl", "garbage.keras is no .keras"),
    "no .keras": ("predict --model good.jsonl good.jsonl", "good.jsonl is no .keras file"),
    "unknown label": (
        "evaluate --model {model} --data other_labels.jsonl",
        "other_labels.jsonl:2: unknown label 'sonnet'. Nearest of the 2 labels",
    ),
    "json is a directory": (
        "evaluate --model {model} --data good.jsonl --json empty",
        "empty is a directory. Name a file for --json.",
    ),
    "no document": ("predict --model {model}", "There is no document. Name text files, - for"),
    "missing document": ("predict --model {model} nix.txt", "nix.txt: No such file or directory"),
    "directory": ("predict --model {model} empty", "empty is a directory. Name the files in it"),
    "standard input twice": ("predict --model {model} - -", "(-) can be read once only"),
    "nothing to export": ("export --model {model}", "Give --saved-model, --litert or --onnx."),
    "quantized SavedModel": (
        "export --model {model} --saved-model o --quantization float16",
        "--quantization is for a .tflite file. Give --litert too.",
    ),
    "calibrated SavedModel": (
        "export --model {model} --saved-model o --calibration-data good.jsonl",
        "--calibration-data is for a .tflite file. Give --litert too.",
    ),
    "SavedModel of several lengths": (
        "export --model {model} --saved-model o --sequence-lengths 16 32",
        "--sequence-lengths is for a .tflite file. Give --litert too.",
    ),
    "nothing to calibrate on": (
        "export --model {model} --litert o.tflite --quantization int8",
        "'int8' needs `calibration_data`",
    ),
    "length beyond the model's": (
        "export --model {model} --litert o.tflite --sequence-lengths 16 1000000",
        "`sequence_lengths` must be different ints from 3 to",
    ),
    "SavedModel takes text anyway": (
        "export --model {model} --saved-model o --takes text",
        "--takes is for a .tflite file. Give --litert too.",
    ),
    "a gate without documents": (
        "export --model {model} --litert o.tflite --max-accuracy-drop 0.1",
        "--max-accuracy-drop needs documents with labels. Give --data too.",
    ),
    "a gate without labels": (
        "export --model {model} --litert o.tflite --data no_labels.jsonl --max-accuracy-drop 0.1",
        "no_labels.jsonl:1: no field 'label'",
    ),
    "labels of another model": (
        "export --model {model} --litert o.tflite --data other_labels.jsonl",
        "unknown label 'sonnet'. Nearest of the 2 labels that are known: 'tale', 'weather'.",
    ),
    "report is a directory": (
        "export --model {model} --litert o.tflite --report empty",
        "empty is a directory. Name a file for --report.",
    ),
    "a layout of nothing": (
        "export --model {model} --litert o.tflite --tf-serving",
        "--tf-serving says how to lay out --saved-model. Give it too.",
    ),
    "a SavedModel for a model's directory": (
        "export --model {model} --saved-model served --tf-serving",
        "served is a SavedModel. --tf-serving wants the directory of its versions.",
    ),
    "a name that no address can hold": (
        "export --model {model} --saved-model bad:name --tf-serving",
        "Received: 'bad:name'",
    ),
    "nothing to serve": ("serve --model nix", "There is no directory nix."),
    "no SavedModel to serve": ("serve --model empty", "a directory without a SavedModel. Make one"),
    "a file to serve": ("serve --model good.jsonl", "Received: good.jsonl, a file."),
    "one port for two": (
        "serve --model served --http-port 9 --grpc-port 9",
        "--http-port and --grpc-port must differ. Received: 9 for both.",
    ),
    "no .tflite": ("export --model {model} --litert o", "--litert must end in .tflite"),
    "no .onnx": ("export --model {model} --onnx o", "--onnx must end in .onnx"),
    "ONNX is a directory": (
        "export --model {model} --onnx folder.onnx --overwrite",
        "folder.onnx is a directory. --onnx makes a file.",
    ),
    "SavedModel is a file": (
        "export --model {model} --saved-model good.jsonl --overwrite",
        "good.jsonl is a file",
    ),
    "LiteRT is a directory": (
        "export --model {model} --litert folder.tflite --overwrite",
        "folder.tflite is a directory",
    ),
    "no documents to compare on": (
        "export --model {model} --litert o.tflite --data nix.csv",
        "nix.csv",
        "No such file or directory",
    ),
}


@pytest.mark.parametrize(("line", "words"), [(x[0], x[1:]) for x in BAD.values()], ids=list(BAD))
def test_bad_input_is_one_line_and_leaves_nothing(
    line, words, model, tmp_path, monkeypatch, capsys
):
    _files(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main([x.format(model=model) for x in line.split()]) == 1
    captured = capsys.readouterr()
    (message,) = captured.err.splitlines()
    assert message.startswith("keras-combiner: error: ")
    for word in words:
        assert word in message
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "required: COMMAND"),
        ("tarin", "invalid choice: 'tarin'"),
        ("train --output o", "required: --data"),
        ("train --data a --output o --size huge", "choose from 'tiny', 'small', 'base'"),
        ("train --data a --output o --epochs 0", "expected an integer >= 1, not '0'"),
        ("train --data a --output o --sequence-length 2", "expected an integer >= 3, not '2'"),
        ("train --data a --output o --batch-size many", "expected an integer >= 1, not 'many'"),
        ("train --data a --output o --validation-split 1", "from 0 to below 1, not '1'"),
        ("train --data a --output o --validation-split nan", "from 0 to below 1, not 'nan'"),
        (
            "train --data a --output o --validation-split .2 --validation-data b",
            "not allowed with argument",
        ),
        ("train --data a --output o --vocab 5", "unrecognized arguments: --vocab 5"),
        ("evaluate --data a", "required: --model"),
        ("evaluate --data a --model m --threshold 1", "0 and 1, both excluded, not '1'"),
        ("predict --model m a --threshold nan", "0 and 1, both excluded, not 'nan'"),
        ("train --data a --output o --calibrate --precision 0", "both excluded, not '0'"),
        ("predict a.txt", "required: --model"),
        ("export --model m --quantization int2", "invalid choice: 'int2'"),
        ("serve --http-port 80", "required: --model"),
        ("serve --model m --max-body-mb 0", "expected an integer >= 1, not '0'"),
        ("serve --model m --port 80", "usage: keras-combiner serve "),
        ("pretrain --data a --output o --masked-share 1", "above 0 and below 1, not '1'"),
    ],
)
def test_bad_usage_exits_with_2(line, words, capsys):
    with pytest.raises(SystemExit) as raised:
        main(line.split())
    assert raised.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command, capsys):
    with pytest.raises(SystemExit) as raised:
        main([command, "--help"])
    assert raised.value.code == 0
    out = capsys.readouterr().out
    assert f"usage: keras-combiner {command}" in out
    assert "example:" in out and f"keras-combiner {command}" in out.split("example:")[1]


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(re.search(rf"\n    {command}\s", out) for command in COMMANDS)


def test_choices_are_those_of_the_package():
    from keras_combiner.export import QUANTIZATIONS
    from keras_combiner.export.litert import TAKES
    from keras_combiner.factorizations.summaries import SUMMARIES
    from keras_combiner.models import SIZES
    from keras_combiner.models.long_document_classifier import LONG
    from keras_combiner.training.distributed import STRATEGIES

    assert strategy.STRATEGIES == STRATEGIES
    assert train.LEAST_TO_CALIBRATE == LEAST_DOCUMENTS
    assert tuple(SIZES) == training_arguments.SIZES
    assert tuple(TASKS) == arguments.TASKS
    assert training_arguments.LONG == LONG
    assert tuple(SUMMARIES) == training_arguments.SUMMARIES
    assert tuple(QUANTIZATIONS) == export.QUANTIZATIONS
    assert tuple(TAKES) == export.TAKES


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("--help", 0, "keras-combiner COMMAND --help"),
        ("train --help", 0, "--sequence-length TOKENS"),
        ("predict --model nix.keras a.txt", 1, ""),
        ("export --model nix.keras", 1, ""),
        ("serve --model nix", 1, ""),
    ],
)
def test_no_tensorflow_for_help_and_simple_errors(line, code, words):
    script = pathlib.Path(sys.executable).with_name("keras-combiner")
    # The installed script itself, in a process that then says what it has imported.
    program = (
        "import runpy, sys\n"
        "try:\n"
        "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    heavy = {'tensorflow', 'keras', 'numpy'} & set(sys.modules)\n"
        "    print('imported:', sorted(heavy), 'code:', end.code)\n"
    )
    program = f"import sys; sys.argv = {[str(script), *line.split()]!r}\n{program}"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1] == f"imported: [] code: {code}"
    assert words in ran.stdout


class TestErrors:
    def test_of_a_stream(self, tmp_path):
        import tensorflow as tf

        from keras_combiner.datasets import read_documents

        path = tmp_path / "bad.jsonl"
        path.write_text('{"text": "a", "label": "x"}\n{"text": 5}\n')
        with pytest.raises(tf.errors.InvalidArgumentError) as raised:
            list(read_documents(path).dataset())
        assert errors.one_line(raised.value) == (
            f"{path}:2: field 'text' must be a string, received a number. If the text is in "
            "another field, name it with --text-field"
        )

    @pytest.mark.parametrize(
        ("name", "message", "expected"),
        [
            (
                "InvalidArgumentError",
                "{{function_node f}} Shapes differ\n\t [[{{node x}}]]",
                "{{function_node f}} Shapes differ",
            ),
            (
                "UnknownError",
                "{{function_node f}} OSError: disk\non fire\nTraceback (most recent call last):\n",
                "disk on fire",
            ),
            (
                "ResourceExhaustedError",
                "OOM when allocating tensor\n\t [[{{node x}}]]",
                "out of memory. Take a smaller --batch-size, or train with a smaller "
                "--sequence-length. TensorFlow said: OOM when allocating tensor",
            ),
        ],
    )
    def test_of_tensorflow(self, name, message, expected):
        import tensorflow as tf

        error = getattr(tf.errors, name)(None, None, message)
        assert errors.one_line(error) == expected

    def test_lines_are_joined(self):
        assert errors.one_line(ValueError("one,\n  two")) == "one, two"

    def test_without_words_gets_its_name(self):
        assert errors.one_line(RuntimeError()) == "RuntimeError"


def _run_raising(monkeypatch, error):
    def run(arguments):
        raise error

    monkeypatch.setattr(COMMANDS["predict"], "run", run)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "\nkeras-combiner: interrupted\n"),
        (BrokenPipeError(), 141, ""),
        (ImportError("pip install x"), 1, "keras-combiner: error: pip install x\n"),
        (PermissionError(13, "Permission denied", "a"), 1, "a: Permission denied\n"),
    ],
)
def test_exit_codes(error, code, words, monkeypatch, capsys):
    _run_raising(monkeypatch, error)
    assert main(["predict", "--model", "m", "a"]) == code
    assert capsys.readouterr().err.endswith(words)


def test_an_interrupted_process_ends_while_its_frames_are_alive(monkeypatch, capsys):
    class Iterator:
        def __del__(self):  # TensorFlow's can wait here for a thread that waits for it
            ends.append("iterator")

    def run(arguments):
        iterator = Iterator()
        raise KeyboardInterrupt(iterator)

    ends = []
    monkeypatch.setattr(COMMANDS["predict"], "run", run)
    monkeypatch.setattr(sys, "argv", ["keras-combiner", "predict", "--model", "m", "a"])
    monkeypatch.setattr("os._exit", lambda code: ends.append(code))
    with pytest.raises(UnboundLocalError):  # what comes after an end that is none
        cli_main.run()
    assert ends[0] == 130
    assert capsys.readouterr().err.endswith("keras-combiner: interrupted\n")


def test_debug_shows_the_traceback(monkeypatch, capsys):
    _run_raising(monkeypatch, ValueError("the reason"))
    assert main(["predict", "--model", "m", "a", "--debug"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback") and err.endswith("keras-combiner: error: the reason\n")


def test_a_bug_keeps_its_traceback(monkeypatch):
    _run_raising(monkeypatch, KeyError("a bug"))
    with pytest.raises(KeyError):
        main(["predict", "--model", "m", "a"])


def test_many_classes_are_not_all_listed():
    counts = {f"class {i}": 1 for i in range(1000)}
    assert label_counts.describe(counts).endswith("class 19 1, and 980 more")


def test_an_unknown_label_says_where_and_stays_short(tmp_path):
    from keras_combiner.datasets import read_documents

    path = tmp_path / "r.csv"
    path.write_text("text,labels\na,klass 1|class 2\nb,klass 1|other\nc,klass 3\n")
    known = [f"class {i}" for i in range(3000)]
    with pytest.raises(ValueError, match="unknown") as caught:
        label_counts.check_known({"klass 3": 1, "other": 1}, known, read_documents(path))
    assert str(caught.value).startswith(f"{path}:4: unknown label 'klass 3'. Nearest of the 3000")
    assert "'class 3'" in str(caught.value)
    assert str(caught.value).endswith("2 labels of the file are unknown.")
    assert len(str(caught.value)) < 300


def test_labels_of_earlier_models_are_known(tmp_path):
    """Before there was a rule, true was called "true" in a model, and 1.0 "1.0"."""
    from keras_combiner.datasets import read_documents

    path = tmp_path / "r.jsonl"
    path.write_text('{"text": "a", "label": true}\n{"text": "b", "label": 1.0}\n')
    summary = TargetSummary.of(read_documents(path))
    assert set(summary.labels) == {"True", "1"}
    summary.check_known(["1.0", "true"], read_documents(path))
    with pytest.raises(ValueError, match=r"r\.jsonl:2: unknown label '1'"):
        summary.check_known(["1.0", "1.00", "true"], read_documents(path))
