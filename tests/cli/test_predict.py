"""`keras-combiner predict`."""

import io
import json
import sys

import pytest

from keras_combiner.cli.main import main
from tests.cli.documents import SEQUENCE_LENGTH

pytestmark = pytest.mark.usefixtures("eager")


def give_standard_input(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_json(model, document, capsys, monkeypatch):
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


def test_readable(model, document, capsys, monkeypatch):
    give_standard_input(monkeypatch, b"king " * 100)
    assert main(["predict", "--model", model, "--batch-size", "1", document, "-"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{document}: ")
    assert "tale 0." in first and "weather 0." in first
    assert "truncated" not in first
    assert second.endswith("; truncated: the model reads the first 64 tokens only")


def test_labels_are_not_looked_at(model, tmp_path, capsys):
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": "rain", "label": [1]}\n{"text": "wind", "label": NaN}\n')
    assert main(["predict", "--model", model, "--json", "--data", str(path)]) == 0
    lines = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert [x["document"] for x in lines] == [f"{path}:1", f"{path}:2"]


def test_line_ends_and_byte_order_marks_change_nothing(model, tmp_path, capsys):
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


BAD = {
    "a threshold by label": (
        "predict --model {model} --data good.jsonl --threshold tale=0.5",
        "Documents have one label here, and one threshold: a number that the largest probability",
        "Received: {'tale': 0.5}, which is for several labels.",
    ),
    "two thresholds": (
        "predict --model {model} --data good.jsonl --threshold 0.5 --threshold 0.6",
        "--threshold has two values for all labels: 0.5 and 0.6. Give one.",
    ),
    "two kinds of input": (
        "predict --model {model} --data good.jsonl good.jsonl",
        "Name text files or --data, not both.",
    ),
    "no .keras": ("predict --model good.jsonl good.jsonl", "good.jsonl is not a .keras file"),
    "no document": ("predict --model {model}", "There is no document. Name text files, - for"),
    "missing document": ("predict --model {model} nix.txt", "nix.txt: No such file or directory"),
    "directory": ("predict --model {model} empty", "empty is a directory. Name the files in it"),
    "standard input twice": ("predict --model {model} - -", "(-) can be read once only"),
}


@pytest.mark.parametrize(("line", "words"), [(x[0], x[1:]) for x in BAD.values()], ids=list(BAD))
def test_bad_input_is_one_line_and_leaves_nothing(line, words, refused):
    message = refused(line)
    for word in words:
        assert word in message
