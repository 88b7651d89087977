"""A training that is killed and resumed writes the model that it would have written."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_combiner.cli.main import main
from keras_combiner.datasets import write_jsonl
from keras_combiner.models import LongDocumentClassifier


@pytest.fixture
def data(tmp_path):
    generator = np.random.default_rng(0)
    words = {"tale": "once upon a time there was a king", "weather": "rain and wind and some sun"}
    rows = []
    for i in range(60):
        label = list(words)[i % 2]
        count = int(generator.integers(3, 60))
        rows.append((" ".join(generator.choice(words[label].split(), size=count)), label))
    path = tmp_path / "texts.jsonl"
    write_jsonl(path, rows)
    return path


def options(data, output, *more):
    return [
        *("train", "--data", str(data), "--output", str(output), "--sequence-length", "64"),
        *("--vocabulary-size", "100", "--epochs", "3", "--batch-size", "4", "--block-size", "8"),
        *("--checkpoint-every", "1", "--accumulate", "2", *more),
    ]


def position(checkpoint):
    if not checkpoint.exists():
        return -1, 0
    with np.load(checkpoint) as file:
        state = json.loads(str(file["state"]))
    return state["epoch"], state["step"]


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch(data, tmp_path, capsys):
    program = [sys.executable, "-m", "keras_combiner.cli.main"]
    # In a process of its own too: here `tests/conftest.py` turns off an optimizer of graphs, and
    # that changes how results are rounded.
    subprocess.run([*program, *options(data, tmp_path / "whole")], check=True)

    output = tmp_path / "killed"
    command = [*program, *options(data, output)]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)
        while position(output / "checkpoints" / "last.npz") < (1, 3):
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    epoch, step = position(output / "checkpoints" / "last.npz")
    assert epoch == 1 and step >= 3
    assert not (output / "model.keras").exists()

    capsys.readouterr()
    assert main(options(data, output)) == 1
    assert "Go on with it with --resume" in capsys.readouterr().err
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"Resuming at step {step + 1} of epoch 2." in done.stdout

    whole, resumed = (LongDocumentClassifier.load(tmp_path / x) for x in ("whole", "killed"))
    for one, other in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    reports = [json.loads((tmp_path / x / "report.json").read_text()) for x in ("whole", "killed")]
    assert reports[0]["history"] == reports[1]["history"]
    assert reports[0]["metrics"] == reports[1]["metrics"]


@pytest.mark.slow
def test_patience_keeps_the_best_epoch(data, tmp_path, capsys):
    more = ["--patience", "1", "--mixed-precision", "bfloat16", "--epochs", "4", "--remat"]
    assert main(options(data, tmp_path / "a", *more)) == 0
    report = json.loads((tmp_path / "a" / "report.json").read_text())
    losses = report["history"]["val_loss"]
    assert report["epoch"] == report["best_epoch"] == 1 + int(np.argmin(losses))
    assert report["metrics"]["val_loss"] == min(losses)
