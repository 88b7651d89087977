"""The command line as a whole: usage, help, exit codes."""

import pathlib
import re
import subprocess
import sys

import pytest

from keras_combiner.cli import arguments, export, strategy, train, training_arguments
from keras_combiner.cli import main as cli_main
from keras_combiner.cli.main import COMMANDS, main
from keras_combiner.models.calibration import LEAST_DOCUMENTS
from keras_combiner.tasks import TASKS


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
        ("evaluate --data a --model m --threshold b=1", "0 and 1, both excluded, not '1'"),
        ("predict --model m a --threshold nan", "0 and 1, both excluded, not 'nan'"),
        ("train --data a --output o --calibrate --precision 0", "both excluded, not '0'"),
        (
            "train --data a --output o --class-weight b=-1",
            "expected a finite number >= 0, not '-1'",
        ),
        ("train --data a --output o --class-weight =1", "a label before the last '=' of '=1'"),
        ("train --data a --output o --class-weight b", "balanced or LABEL=WEIGHT, not 'b'"),
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
    from keras_combiner import factorizations
    from keras_combiner.batches.document_encoder import LONG_TEXTS
    from keras_combiner.export import QUANTIZATIONS
    from keras_combiner.export.litert import INPUT_TYPES
    from keras_combiner.factorizations.factorization import MOST_LOCAL
    from keras_combiner.factorizations.summaries import SUMMARIES
    from keras_combiner.models import SIZES
    from keras_combiner.models.classifier_head import POOLINGS
    from keras_combiner.training.distributed import STRATEGIES

    assert strategy.STRATEGIES == STRATEGIES
    assert train.LEAST_TO_CALIBRATE == LEAST_DOCUMENTS
    assert train.POOLINGS == POOLINGS
    assert {size: x["num_layers"] for size, x in SIZES.items()} == training_arguments.SIZES
    assert set(factorizations.names()) == set(training_arguments.PLANS)
    assert MOST_LOCAL == training_arguments.MOST_LOCAL
    assert tuple(TASKS) == arguments.TASKS
    assert training_arguments.LONG_TEXTS == LONG_TEXTS
    assert tuple(SUMMARIES) == training_arguments.SUMMARIES
    assert tuple(QUANTIZATIONS) == export.QUANTIZATIONS
    assert tuple(INPUT_TYPES) == export.INPUT_TYPES


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
