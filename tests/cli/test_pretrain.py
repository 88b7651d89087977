"""`keras-combiner pretrain`, and `train --pretrained` on what it wrote."""

import contextlib
import inspect
import io
import json
import os
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from keras_combiner.cli.main import main
from keras_combiner.cli.pretrain import SEQUENCE_LENGTH
from keras_combiner.factorizations import Fixed
from keras_combiner.models import CombinerMaskedLM, LongDocumentClassifier
from tests.cli.test_resume import position
from tests.convert.test_hugging_face import VOCABULARY, bert_tensors, write
from tests.eagerly import eagerly

WORDS = {"tale": "once upon a time there was a king", "weather": "rain and wind and some sun"}


def some_texts(count):
    generator = np.random.default_rng(0)
    labels = [list(WORDS)[i % 2] for i in range(count)]
    return [
        (" ".join(generator.choice(WORDS[x].split(), size=generator.integers(3, 60))), x)
        for x in labels
    ]


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    """A folder of text files, some in a folder of it."""
    folder = tmp_path_factory.mktemp("data") / "texts"
    (folder / "more" / "of them").mkdir(parents=True)
    for i, (text, _) in enumerate(some_texts(40)):
        (folder / ("more/of them" if i % 3 else "") / f"{i}.md").write_text(text)
    (folder / "empty.txt").write_text(" \n")
    return folder


def pretrain(texts, output, *more):
    return [
        *("pretrain", "--data", str(texts), "--output", str(output), "--sequence-length", "32"),
        *("--vocabulary-size", "100", "--batch-size", "4", "--block-size", "8", *more),
    ]


@pytest.fixture(scope="session")
def pretrained(texts, tmp_path_factory):
    """A directory that `pretrain` wrote, and what it printed."""
    directory = tmp_path_factory.mktemp("runs") / "pretrained"
    options = ["--epochs", "2", "--summary", "max", "--batch-size", "48", "--locality", "2"]
    options += ["--factorization", "window", "fixed", "--first-blocks", "1"]
    with eagerly(), contextlib.redirect_stdout(io.StringIO()) as printed:
        code = main(pretrain(texts, directory, *options))
    assert code == 0
    return types.SimpleNamespace(directory=directory, printed=printed.getvalue())


@pytest.fixture
def labelled(tmp_path):
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(json.dumps({"text": t, "label": x}) + "\n" for t, x in some_texts(16)))
    return path


def test_it_says_what_it_reads_and_what_comes_next(pretrained, texts):
    lines = pretrained.printed.splitlines()
    assert lines[:3] == [
        f"Reading {texts} ...",
        "41 documents, 1 of them empty",
        "Validation: 5 documents (held out)",
    ]
    assert any("windows with the others" in line and "36 documents" in line for line in lines)
    # A slow epoch also says how far it is; only its end has what validation found.
    ends = [line for line in lines if line.startswith("epoch ") and " val_loss " in line]
    assert len(ends) == 2 and all(" tokens/s " in line for line in ends)
    shown = next(line for line in lines if line.startswith("Validation accuracy on hidden word"))
    assert "perplexity" in shown and shown.endswith("on 5 documents")
    assert lines[-1].strip() == (
        f"keras-combiner train --data LABELLED_DATA --pretrained {pretrained.directory} "
        "--output DIR"
    )


def test_it_writes_a_model_and_its_sidecar_files_and_nothing_else(pretrained):
    directory = pretrained.directory
    assert {path.name for path in directory.iterdir()} == {
        *("model.keras", "vocab.txt", "report.json", "training.png", "logs", "checkpoints"),
    }
    checkpoints = {path.name for path in (directory / "checkpoints").iterdir()}
    assert checkpoints == {"best.keras", "last.npz", "settings.json", "start.keras"}
    assert list((directory / "logs" / "validation").glob("events.*"))
    model = CombinerMaskedLM.load(directory)
    vocabulary = (directory / "vocab.txt").read_text().splitlines()
    assert vocabulary == model.tokenizer.vocabulary and vocabulary[4] == "[MASK]"
    report = json.loads((directory / "report.json").read_text())
    assert report["documents"] == {"all": 41, "empty": 1, "validation": 5}
    assert report["arguments"]["masked_share"] == 0.15 and report["arguments"]["size"] == "tiny"
    assert report["training_data"]["windows"] > report["training_data"]["documents"] == 36
    assert report["metrics"]["perplexity"] == pytest.approx(np.exp(report["metrics"]["val_loss"]))
    assert set(report["history"]) == {"accuracy", "loss", "val_accuracy", "val_loss"}


@pytest.mark.usefixtures("eager")
def test_train_starts_from_it(pretrained, labelled, tmp_path, capsys, monkeypatch):
    seen = {}

    def fit(self, documents, **kwargs):
        seen["weights"] = [np.array(x) for x in self.backbone.trainable_weights]
        seen["rate"] = self.learning_rate
        return types.SimpleNamespace(
            history={x: [0.5] for x in ("accuracy", "loss", "val_accuracy", "val_loss")}
        )

    monkeypatch.setattr(LongDocumentClassifier, "fit", fit)
    command = ["train", "--data", str(labelled), "--pretrained", str(pretrained.directory)]
    command += ["--output", str(tmp_path / "a"), "--sequence-length", "80", "--epochs", "1"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert f"Training the model of {pretrained.directory}, " in out
    source = CombinerMaskedLM.load(pretrained.directory).backbone
    classifier = LongDocumentClassifier.load(tmp_path / "a")
    # Longer than the pretraining, in its plan, with its weights.
    own = {"block_size": 8, "summary": "max", "sequence_length": 80, "locality": 2.0}
    assert {x: classifier.backbone.arguments[x] for x in own} == own
    window, fixed = classifier.backbone.arguments["factorization"]
    assert window == "window"
    assert fixed.get_config() == Fixed(8, first_blocks=1).get_config()
    for weight, other in zip(seen["weights"], source.trainable_weights, strict=True):
        np.testing.assert_array_equal(weight[: other.shape[0]], other)
    assert (seen["rate"], classifier.token_dropout) == (1e-4, 0.0)
    assert (classifier.pooling, classifier.lexical) == ("mean", False)
    assert (tmp_path / "a" / "vocab.txt").read_bytes() == (
        pretrained.directory / "vocab.txt"
    ).read_bytes()
    report = json.loads((tmp_path / "a" / "report.json").read_text())
    assert report["arguments"]["pretrained"] == str(pretrained.directory)

    options = ["--overwrite", "--block-size", "16", "--learning-rate", "0.01", "--locality", "0"]
    options += ["--token-dropout", "0.2", "--pooling", "label", "--lexical"]
    assert main([*command, *options]) == 0
    assert seen["rate"] == 0.01
    classifier = LongDocumentClassifier.load(tmp_path / "a")
    assert (classifier.backbone.arguments["block_size"], classifier.token_dropout) == (16, 0.2)
    assert classifier.backbone.arguments["locality"] == 0.0
    _, fixed = classifier.backbone.arguments["factorization"]
    assert fixed.get_config() == Fixed(16, first_blocks=1).get_config()
    assert (classifier.pooling, classifier.lexical) == ("label", True)


@pytest.mark.slow
def test_the_whole_way(pretrained, texts, labelled, tmp_path, capsys):
    # Further on other documents, then a classifier, in other forms of options.
    more = ["--pretrained", str(pretrained.directory), "--validation-data", str(labelled)]
    command = ["pretrain", "--data", str(texts), "--output", str(tmp_path / "b"), *more]
    command += ["--sequence-length", "48", "--patience", "1", "--masked-share", "0.3"]
    assert main([*command, "--epochs", "2", "--long-texts", "truncate", "--accumulate", "2"]) == 0
    out = capsys.readouterr().out
    assert f"Validation: 16 documents ({labelled})" in out
    command = ["train", "--data", str(labelled), "--pretrained", str(tmp_path / "b")]
    command += ["--output", str(tmp_path / "c"), "--sequence-length", "64", "--epochs", "2"]
    assert main([*command, "--mixed-precision", "bfloat16", "--batch-size", "4"]) == 0
    assert not LongDocumentClassifier.load(tmp_path / "c").backbone.arguments["remat"]
    assert main(["evaluate", "--model", str(tmp_path / "c"), "--data", str(labelled)]) == 0
    # Bytes, of a single text, of which nothing can be held out.
    (tmp_path / "one.txt").write_text("a text like any other. " * 40)
    command = pretrain(tmp_path / "one.txt", tmp_path / "d", "--tokenizer", "bytes")
    assert main([*command, "--epochs", "1", "--long-texts", "truncate"]) == 0
    assert "(no validation)" in capsys.readouterr().out
    assert not (tmp_path / "d" / "vocab.txt").exists()
    command = ["train", "--data", str(labelled), "--pretrained", str(tmp_path / "d")]
    assert main([*command, "--output", str(tmp_path / "e"), "--epochs", "1", "--remat"]) == 0
    assert LongDocumentClassifier.load(tmp_path / "e").backbone.arguments["remat"]


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch(texts, tmp_path):
    options = ["--epochs", "3", "--checkpoint-every", "1", "--accumulate", "2"]
    program = [sys.executable, "-m", "keras_combiner.cli.main"]
    # In a process of its own too: here `tests/conftest.py` turns off an optimizer of graphs, and
    # that changes how results are rounded.
    subprocess.run([*program, *pretrain(texts, tmp_path / "whole", *options)], check=True)

    output = tmp_path / "killed"
    command = [*program, *pretrain(texts, output, *options)]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)
        while position(output / "checkpoints" / "last.npz") < (1, 3):
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (output / "model.keras").exists()
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Resuming at step " in done.stdout

    whole, resumed = (CombinerMaskedLM.load(tmp_path / x) for x in ("whole", "killed"))
    for one, other in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    reports = [json.loads((tmp_path / x / "report.json").read_text()) for x in ("whole", "killed")]
    assert reports[0]["history"] == reports[1]["history"]
    assert reports[0]["metrics"] == reports[1]["metrics"]


BAD = {
    "nothing there": ("pretrain --data nix", "nix", "No such file or directory"),
    "no documents": ("pretrain --data empty", "empty: no files. Every file in it is to be a"),
    "an empty text": ("pretrain --data blank.txt", "blank.txt: there is no text in it."),
    "unknown field": (
        "pretrain --data good.jsonl --text-field body",
        "good.jsonl:1: no field 'body'; fields are 'text'. Name it with --text-field",
    ),
    "a folder of records": ("pretrain --data .", "by its ending a file of records", "'*.jsonl'"),
    "nothing to validate on": (
        "pretrain --data good.jsonl --validation-data blank.txt",
        "There is no text to validate on (blank.txt). Give more documents, or 0 for",
    ),
    "no mask": (
        "pretrain --data good.jsonl --pretrained bert",
        "has no mask token. Word pieces have one if [MASK] is in their vocabulary",
    ),
    "nothing pretrained": (
        "pretrain --data good.jsonl --pretrained nix",
        "There are no weights at 'nix'. --pretrained is a directory",
    ),
    "no model there": (
        "train --data labelled.jsonl --pretrained empty",
        "There are no weights at 'empty'. --pretrained is a directory",
    ),
    "a file of something else": (
        "train --data labelled.jsonl --pretrained good.jsonl",
        "There are no weights at 'good.jsonl'.",
    ),
    "a variable that is not set": (
        "train --data labelled.jsonl --pretrained=",
        "There are no weights at ''.",
    ),
    "size of a pretrained model": (
        "train --data labelled.jsonl --pretrained bert --size tiny --vocabulary-size 8000",
        "--size, --vocabulary-size: not with --pretrained, whose size, vocabulary and first block",
    ),
    "tokenizer of a pretrained model": (
        "pretrain --data good.jsonl --pretrained bert --tokenizer bytes",
        "--tokenizer: not with --pretrained",
    ),
    "first blocks of a pretrained model": (
        "train --data labelled.jsonl --pretrained bert --first-blocks 1 --locality 2",
        "--first-blocks: not with --pretrained",
    ),
    "plans of other layers": (
        "train --data labelled.jsonl --pretrained bert --factorization window fixed fixed",
        "must have one plan for each layer, 2 in all. Received: 3",
    ),
}


@pytest.mark.parametrize(("line", "words"), [(x[0], x[1:]) for x in BAD.values()], ids=list(BAD))
def test_bad_input_is_one_line_and_leaves_no_model(line, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bert").mkdir()
    assert "[MASK]" not in VOCABULARY
    write(tmp_path / "bert", bert_tensors())
    (tmp_path / "blank.txt").write_text("\n \n")
    (tmp_path / "good.jsonl").write_text('{"text": "a"}\n' * 20)
    (tmp_path / "labelled.jsonl").write_text(
        '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n' * 10
    )
    assert main([*line.split(), "--output", "o"]) == 1
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith("keras-combiner: error: ")
    for word in words:
        assert word in message
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("share", ["0", "1", "nan", "x"])
def test_bad_usage_exits_with_2(share, capsys):
    with pytest.raises(SystemExit) as raised:
        main(["pretrain", "--data", "a", "--output", "o", "--masked-share", share])
    assert raised.value.code == 2
    assert "expected a number" in capsys.readouterr().err


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "x"])
def test_a_learning_rate_is_a_number_above_0(rate, capsys):
    with pytest.raises(SystemExit) as raised:
        main(["train", "--data", "a", "--output", "o", "--learning-rate", rate])
    assert raised.value.code == 2
    assert "expected a number above 0" in capsys.readouterr().err


@pytest.mark.parametrize("start", ["from_texts", "from_pretrained"])
def test_its_windows_are_as_long_as_those_of_the_library(start):
    parameters = inspect.signature(getattr(CombinerMaskedLM, start)).parameters
    assert parameters["sequence_length"].default == SEQUENCE_LENGTH
