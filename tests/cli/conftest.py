"""What the tests of the command line share: a model that is trained once."""

import contextlib
import io
import types

import pytest

from keras_combiner.cli.main import main
from tests.cli.documents import SEQUENCE_LENGTH, labelled_texts, write_jsonl
from tests.eagerly import eagerly


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return write_jsonl(tmp_path_factory.mktemp("data") / "texts.jsonl", labelled_texts(40))


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory):
    """A directory that `train` wrote, and what it printed."""
    directory = tmp_path_factory.mktemp("runs") / "a"
    with eagerly(), contextlib.redirect_stdout(io.StringIO()) as printed:
        code = main(
            [
                *("train", "--data", str(data), "--output", str(directory), "--size", "tiny"),
                *("--sequence-length", str(SEQUENCE_LENGTH), "--vocabulary-size", "100"),
                *("--epochs", "1", "--batch-size", "12", "--seed", "3"),
                *("--class-weight", "weather=1.5", "--class-weight", "tale=1"),
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


@pytest.fixture
def refused(model, tmp_path, monkeypatch, capsys):
    """Runs a command that ends in one line of error and leaves nothing; returns the line."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(line):
        before = sorted(tmp_path.rglob("*"))
        assert main([x.format(model=model) for x in line.split()]) == 1
        (message,) = capsys.readouterr().err.splitlines()
        assert message.startswith("keras-combiner: error: ")
        assert sorted(tmp_path.rglob("*")) == before
        return message

    return run


def write_files(tmp_path):
    """Files that are wrong in some way each; the tables BAD of the tests name them."""
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
    (tmp_path / "garbage.keras").write_text("no zip file")
    (tmp_path / "empty").mkdir()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "model.keras").write_text("a model")
    (tmp_path / "folder.tflite").mkdir()
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "saved_model.pb").write_text("a SavedModel")
