"""What a classifier starts from: the commands that are run, and the page that comes of them."""

import json

import pytest

from benchmarks import report, starting_points, starting_points_report
from benchmarks.starting_points_report import CONVERTED, PRETRAINED, SCRATCH, TRUNCATED
from keras_combiner.cli.main import build_parser


class Runs:
    """In place of the commands: notes them, and leaves the report that they would leave."""

    def __init__(self):
        self.commands = []

    def __call__(self, words):
        self.commands.append(words)
        arguments = build_parser().parse_args(words)  # exits if there is no such option
        folder = starting_points.Path(arguments.output)
        folder.mkdir()
        written = {
            "parameters": 1000,
            "metrics": {"accuracy": 0.9, "val_accuracy": 0.5, "perplexity": 99.0},
            "arguments": {"epochs": arguments.epochs},
            "training_data": {"documents": 10},
            "epochs": [{"documents_per_second": x} for x in (1, 2, 900)],
        }
        (folder / "report.json").write_text(json.dumps(written))


@pytest.fixture
def runs(monkeypatch):
    tested = {"accuracy": 0.5, "loss": 1.0}
    monkeypatch.setattr(starting_points, "tested", lambda output, folder: tested)
    monkeypatch.setattr(starting_points, "minilm", lambda: "minilm-directory")
    return Runs()


@pytest.mark.parametrize("row", starting_points.SETTINGS)
def test_every_row_is_commands_that_exist_and_is_trained_once(row, runs, tmp_path):
    settings = starting_points.SETTINGS[row]
    figures = starting_points.figures_of(settings, 0, tmp_path, runs)
    assert figures["accuracy"] == 0.5
    assert figures["validation_accuracy"] == 0.5 and figures["training_accuracy"] == 0.9
    assert figures["seconds"] == settings["train"]["epochs"] * 10 / 2
    assert [words[0] for words in runs.commands] == [x for x in settings if x != "seeds"]
    count = len(runs.commands)
    assert starting_points.figures_of(settings, 0, tmp_path, runs) == figures
    assert len(runs.commands) == count
    starting_points.figures_of(settings, 1, tmp_path, runs)
    assert len(runs.commands) == 2 * count


def test_training_starts_where_pretraining_ended(runs, tmp_path):
    figures = starting_points.figures_of(starting_points.SETTINGS[PRETRAINED], 0, tmp_path, runs)
    pretrain, train = (build_parser().parse_args(words) for words in runs.commands)
    assert str(train.pretrained) == pretrain.output
    assert figures["pretraining_seconds"] == pretrain.epochs * 10 / 2
    assert figures["perplexity"] == 99.0


def test_the_truncated_row_has_full_attention(runs, tmp_path):
    starting_points.figures_of(starting_points.SETTINGS[TRUNCATED], 0, tmp_path, runs)
    arguments = build_parser().parse_args(runs.commands[0])
    assert arguments.pretrained == "minilm-directory"
    assert arguments.block_size >= arguments.sequence_length == 512


def run(accuracy, **more):
    others = {"validation_accuracy": 0.8, "training_accuracy": 1.0, "parameters": 2_000_000}
    return {"accuracy": accuracy, "seconds": 60.0, **others, **more}


@pytest.mark.parametrize(
    ("accuracy", "words", "verdict"),
    [
        (0.78, "+8.0 points", "better"),
        (0.77, "+7.0 points", "not settled"),
        (0.6, "-10.0 points", "worse"),
    ],
)
def test_the_page_says_what_the_figures_say(accuracy, words, verdict, tmp_path):
    figures = {
        "date": "2026-01-01",
        "machine": "a machine",
        "versions": {"keras": "3", "tensorflow": "2"},
        "documents": {"train": 10, "validation": 2, "test": 300},
        "settings": starting_points.SETTINGS,
        "rows": {
            SCRATCH: [run(0.5), run(0.6)],
            PRETRAINED: [run(0.65, pretraining_seconds=60.0, perplexity=20.0)],
            TRUNCATED: [run(0.7)],
            CONVERTED: [run(accuracy)],
        },
    }
    report.write(tmp_path, "starting_points", figures)
    page = (tmp_path / "benchmarks.md").read_text()
    assert f"| {SCRATCH} | 0.550 ± 0.071 | 0.800 | 1.000 | 2 | 2.0 | 1 |" in page
    assert f"| {PRETRAINED} | 0.650 | 0.800 | 1.000 | 1 | 2.0 | 2 |" in page
    assert words in page
    assert ("at least +8, **met**" in page) == (accuracy == 0.78)
    best = max(figures["rows"], key=lambda name: starting_points_report.mean(figures["rows"][name]))
    found = "met" if best == starting_points.CONVERTED else "not met"
    assert f"The best row is: {best} (aim: the converted one, **{found}**)." in page
    assert f"the best of the others, {TRUNCATED}, the converted one is **{verdict}**" in page
    assert (tmp_path / "starting_points.png").stat().st_size > 1000
