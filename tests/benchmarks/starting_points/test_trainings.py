"""What a classifier starts from: the commands that are run, each once."""

import json
from pathlib import Path

import pytest

from benchmarks.starting_points.rows import PRETRAINED, SETTINGS, TRUNCATED
from benchmarks.starting_points.trainings import Trainings
from keras_combiner.cli.main import build_parser


class Commands:
    """In place of the commands: notes them, and leaves the report that they would leave."""

    def __init__(self):
        self.run = []

    def __call__(self, words):
        self.run.append(words)
        arguments = build_parser().parse_args(words)  # exits if there is no such option
        folder = Path(arguments.output)
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
def commands():
    return Commands()


@pytest.fixture
def trainings(commands, tmp_path):
    return Trainings(
        tmp_path,
        run=commands,
        evaluate=lambda output, folder: {"accuracy": 0.5, "loss": 1.0},
        minilm=lambda: "minilm-directory",
    )


@pytest.mark.parametrize("row", SETTINGS)
def test_every_row_is_commands_that_exist_and_is_trained_once(row, trainings, commands):
    settings = SETTINGS[row]
    figures = trainings.figures(settings, 0)
    assert figures["accuracy"] == 0.5
    assert figures["validation_accuracy"] == 0.5 and figures["training_accuracy"] == 0.9
    assert figures["seconds"] == settings["train"]["epochs"] * 10 / 2
    assert [words[0] for words in commands.run] == [x for x in settings if x != "seeds"]
    count = len(commands.run)
    assert trainings.figures(settings, 0) == figures
    assert len(commands.run) == count
    trainings.figures(settings, 1)
    assert len(commands.run) == 2 * count


def test_training_starts_where_pretraining_ended(trainings, commands):
    figures = trainings.figures(SETTINGS[PRETRAINED], 0)
    pretrain, train = (build_parser().parse_args(words) for words in commands.run)
    assert str(train.pretrained) == pretrain.output
    assert figures["pretraining_seconds"] == pretrain.epochs * 10 / 2
    assert figures["perplexity"] == 99.0


def test_the_truncated_row_has_full_attention(trainings, commands):
    trainings.figures(SETTINGS[TRUNCATED], 0)
    arguments = build_parser().parse_args(commands.run[0])
    assert arguments.pretrained == "minilm-directory"
    assert arguments.block_size >= arguments.sequence_length == 512
