"""The example tries two models on tiny data, prints both and saves the better one."""

import importlib.util
import re
from pathlib import Path

import pytest

from keras_combiner import LongDocumentClassifier
from keras_combiner.datasets import write_jsonl

pytest.importorskip("keras_tuner")
# KerasTuner 1.4.8 asks threads for their names in the old way.
pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")

FILE = Path(__file__).parents[2] / "examples" / "tuning" / "tune.py"


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("tune", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(output):
    return re.findall(r"^(\w+) +(\d+) +(\d+) +([\d,]+) +([\d.]+) +([\d.]+) +\d+$", output, re.M)


@pytest.mark.slow
def test_it_runs(example, eager, tmp_path, capsys, monkeypatch):
    texts = ["bright and warm", "cold and dull"] * 10
    write_jsonl(tmp_path / "data.jsonl", zip(texts, ["summer", "winter"] * 10, strict=True))
    monkeypatch.setattr(example, "PLANS", ("fixed", "logsparse"))
    command = (
        f"--data {tmp_path}/data.jsonl --output {tmp_path}/out --trials 2 --epochs 1 "
        "--sequence-length 24 --tokenizer bytes"
    ).split()
    example.main(command)
    printed = rows(capsys.readouterr().out)
    assert len(printed) == 2
    losses = [float(loss) for *_, loss, _ in printed]
    assert losses == sorted(losses)
    model = LongDocumentClassifier.load(tmp_path / "out")
    plan, block_size, width = printed[0][:3]
    arguments = model.backbone.arguments
    assert arguments["factorization"] == plan
    assert (arguments["block_size"], arguments["hidden_dim"]) == (int(block_size), int(width))
    # Its weights are those that were measured.
    _, validation = example.documents(example.parse(command)).split(0.2)
    assert model.evaluate(validation, verbose=0, return_dict=True)["loss"] == pytest.approx(
        losses[0], abs=1e-3
    )


@pytest.mark.slow
def test_without_documents_of_ones_own(example, tmp_path, capsys):
    example.main(f"--output {tmp_path}/out --trials 1 --epochs 1".split())
    assert len(rows(capsys.readouterr().out)) == 1
