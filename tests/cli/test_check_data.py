"""`keras-combiner check-data`: the page, the exit code and the figures."""

import io
import json

import pytest

from keras_combiner.cli import reading_progress
from keras_combiner.cli.main import main
from tests.cli.documents import SEQUENCE_LENGTH

TEXTS = ["rain and wind tomorrow", "once upon a time", "sun from the coast", "a king and a queen"]


def write(path, rows):
    path.write_text("".join(json.dumps({"text": t, "label": x}) + "\n" for t, x in rows))
    return str(path)


@pytest.fixture
def four(tmp_path):
    return write(
        tmp_path / "a.jsonl", [(x, ("weather", "tale")[i % 2]) for i, x in enumerate(TEXTS)]
    )


def test_clean_data(four, tmp_path, capsys):
    figures = tmp_path / "check.json"
    code = main(["check-data", four, "--tokenizer", "bytes", "--json", str(figures)])
    assert code == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        f"Reading {four} ...",
        f"data: {four}",
        "  documents  4",
        "  classes    2: weather 2, tale 2",
        "  tokens     82; a document from 18 to 24, half of them up to 20, nine in ten up to 23",
        "  longer     0 documents (0%) of more than 4,096 tokens",
        "  unknown    0.00% of the tokens",
        "  twice      0 documents; nearly the same: 0",
        "",
        "Nothing that a training should not start with.",
    ]
    written = json.loads(figures.read_text())
    assert written["is_clean"] and written["findings"] == []
    assert written["splits"]["data"]["lengths"]["total"] == 82


def test_it_counts_as_a_model_does(data, model, capsys):
    assert main(["check-data", str(data), "--model", model]) == 0
    out = capsys.readouterr().out
    assert f"longer     0 documents (0%) of more than {SEQUENCE_LENGTH} tokens" in out


def test_weights(tmp_path, capsys):
    records = zip(TEXTS, ("weather", "tale") * 2, (0.5, 2, 0, "heavy"), strict=True)
    path, figures = tmp_path / "a.csv", tmp_path / "check.json"
    path.write_text("text,label,w\n" + "".join(f"{t},{x},{w}\n" for t, x, w in records))
    command = ["check-data", str(path), "--tokenizer", "words", "--weight-field", "w"]
    assert main([*command, "--json", str(figures)]) == 1
    out = capsys.readouterr().out
    assert "\n  weights    3, from 0 to 2, 1 of them 0; sum 2.5: weather 0.5, tale 2\n" in out
    assert f"- data: 1 record cannot be read. Fix it or take it out.\n    {path}:5:" in out
    weights = json.loads(figures.read_text())["splits"]["data"]["weights"]
    assert weights["labels"] == {"weather": 0.5, "tale": 2.0}
    assert (weights["count"], weights["zeros"], weights["total"]) == (3, 1, 2.5)


def test_findings(four, tmp_path, capsys):
    test = write(tmp_path / "b.jsonl", [(TEXTS[0], "weather"), ("", "Weather")])
    with open(test, "a") as file:
        file.write("{\n")
    code = main(
        ["check-data", four, "--test-data", test, "--tokenizer", "words", "--sequence-length", "3"]
    )
    assert code == 1
    out = capsys.readouterr().out
    stops, _, others = out.partition("\nA training should not start with:\n")[2].partition("\n\n")
    assert "- test: 1 record cannot be read." in stops
    assert f"\n    {test}:3: invalid JSON" in stops
    assert "- test: labels that the data do not have: 'Weather'." in stops
    assert f"\n    {test}:1 and {four}:1" in stops
    assert others.startswith("Worth a look:\n- data: 4 documents (100%) longer than 3 words.")
    assert "a greater\n  --sequence-length or --long-texts windows reads them." in others
    assert "'Weather' and 'weather'" in others
    assert all(len(line) <= 100 for line in out.splitlines() if str(tmp_path) not in line)


def test_word_pieces_are_learned(four, capsys):
    pytest.importorskip("tensorflow_text")
    assert main(["check-data", four]) == 0
    assert "  unknown    0.00% of the tokens\n" in capsys.readouterr().out


def test_texts_that_a_vocabulary_cannot_hold(tmp_path, capsys):
    pytest.importorskip("tensorflow_text")
    thai = [f"{chr(0x0E01 + i)}" * 120 for i in range(4)]
    data = write(tmp_path / "a.jsonl", [(x, ("a", "b")[i % 2]) for i, x in enumerate(thai)])
    assert main(["check-data", data]) == 1
    assert "100% of the tokens are unknown to the vocabulary" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("check-data nix.jsonl", "nix.jsonl"),
        ("check-data a.jsonl --text-field body", "no field 'body'; fields are 'text', 'label'. N"),
        (
            "check-data a.jsonl --weight-field w",
            "no field 'w'; fields are 'text', 'label'. Name it",
        ),
        (
            "check-data . --weight-field w",
            ".: a directory has no field for weights. Received: --we",
        ),
        ("check-data a.jsonl --test-data empty.jsonl", "empty.jsonl: empty. Expected one JSON"),
        ("check-data a.jsonl --model m --tokenizer bytes", "Give --model or --tokenizer, not both"),
        ("check-data a.jsonl --model nix.keras", "There is no model at nix.keras"),
        ("check-data a.jsonl --json .", "is a directory. Name a file for --json."),
    ],
)
def test_what_cannot_be_used_exits_with_2(line, words, four, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").write_text("")
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert not out or (out.startswith("Reading a.jsonl ...\n") and out.count("\n") == 1)
    assert err.count("\n") == 1
    assert err.startswith("keras-combiner: error: ") and words in err


class TestProgress:
    def test_a_line_a_minute_where_there_is_no_terminal(self, monkeypatch):
        clock = iter([0.0, 1.0, 50.0, 61.0, 62.0, 122.0])
        monkeypatch.setattr(reading_progress.time, "perf_counter", lambda: next(clock))
        file = io.StringIO()
        progress = reading_progress.ReadingProgress(1000, file)
        for done in (1, 100, 122, 123, 244):
            progress(done)
        progress.close()
        assert file.getvalue().splitlines() == [
            "122 of 1,000 documents, 2 a second, 7:19 left",
            "244 of 1,000 documents, 2 a second, 6:18 left",
        ]
