"""Batches split between devices and processes train as on one device."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.cli.main import main
from keras_combiner.datasets import write_jsonl
from keras_combiner.models import (
    CombinerBackbone,
    CombinerMaskedLM,
    LongDocumentClassifier,
)
from keras_combiner.text import ByteTokenizer
from keras_combiner.training import Distributed
from keras_combiner.training.shared_step import share
from keras_combiner.training.tf_config import check_tf_config
from tests.training import training_program, workers

PROGRAM = "tests.training.training_program"
PAGE = Path(__file__).parents[2] / "docs" / "distributed.md"


@pytest.mark.parametrize("replicas", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [1, 2, 7, 16])
def test_every_row_has_one_replica(replicas, rows):
    shares = [share(i, replicas, rows) for i in range(replicas)]
    assert [x for start, end in shares for x in range(start, end)] == list(range(rows))


def on_two_devices(what, folder):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", PROGRAM, what, folder]
    subprocess.run(command, env=environment, check=True, timeout=workers.TIMEOUT)
    return [training_program.load(path) for path in sorted(folder.glob("*.npz"))]


def test_a_training_that_fails_leaves_the_step_to_keras(eager):
    class Fail(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise OSError("No space left")

    texts, labels = ["rain and wind", "tales of kings"] * 4, ["weather", "tale"] * 4
    size = {"num_layers": 1, "hidden_dim": 16, "intermediate_dim": 16, "num_heads": 2}
    model = LongDocumentClassifier.from_texts(
        texts, labels, sequence_length=32, tokenizer="bytes", verbose=False, **size
    )
    callbacks = [Distributed("mirrored"), Fail()]
    options = {"batch_size": 4, "epochs": 1, "verbose": 0}
    with pytest.raises(OSError, match="No space left"):
        model.fit(texts, labels, callbacks=callbacks, **options)
    assert model.train_function is None
    assert np.isfinite(model.fit(texts, labels, **options).history["loss"]).all()


@pytest.mark.slow
def test_the_python_of_the_page(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    texts, labels = ["rain and wind", "tales of kings"] * 8, ["weather", "tale"] * 8
    model = LongDocumentClassifier.from_texts(texts, labels, sequence_length=32, verbose=False)
    names = {"classifier": model, "texts": texts, "labels": labels}
    exec(compile(code.replace('"multi_worker"', '"mirrored"'), "distributed.md", "exec"), names)
    assert (tmp_path / "runs/a/last.npz").is_file()


@pytest.mark.slow
def test_two_devices_train_as_one(tmp_path):
    one, two = on_two_devices("mirrored", tmp_path)
    training_program.assert_same(two, one, 1e-5)
    assert one[0]["loss"][1] != one[0]["loss"][0]


@pytest.mark.slow
def test_two_devices_weigh_documents_and_labels_as_one(tmp_path):
    one, two = on_two_devices("weighted", tmp_path)
    training_program.assert_same(two, one, 1e-5)
    assert one[0]["loss"][1] != one[0]["loss"][0]


@pytest.mark.slow
def test_two_devices_drop_the_same_in_every_run(tmp_path):
    training_program.assert_same(*on_two_devices("dropout", tmp_path), 0)


@pytest.mark.slow
def test_the_command_on_two_devices(tmp_path):
    on_two_devices("command", tmp_path)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["arguments"]["strategy"] == "mirrored"
    assert np.isfinite(report["history"]["val_loss"]).all()
    model = LongDocumentClassifier.load(tmp_path / "out")
    assert model.classify(["rain and wind " * 9])[0]["windows"] > 1


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    commands = [[PROGRAM, "worker", tmp_path]] * 2
    codes, logs = workers.finish(commands, tmp_path / "logs")
    assert codes == [0, 0], "\n".join(logs)
    history, model = training_program.train()
    for chief in (0, 1):
        worker = training_program.load(tmp_path / f"worker-{chief}.npz")
        expected = history, training_program.weights_of(model)
        training_program.assert_same(worker, expected, 1e-4)
    assert "wrote ['best.keras', 'last.npz']" in logs[0]
    assert "wrote []" in logs[1]
    for log in logs:
        for name in ("documents", "class_weight", "weights of the training documents"):
            assert f"refused: The workers disagree about: {name}." in log


@pytest.mark.slow
def test_a_killed_worker_and_resumption(tmp_path):
    words = np.random.default_rng(0).choice(["rain", "wind", "king", "tale", "hill"], (60, 20))
    rows = [(" ".join(row), str(i % 2)) for i, row in enumerate(words)]
    write_jsonl(tmp_path / "texts.jsonl", rows)

    def train(output, *more):
        return [
            *("keras_combiner.cli.main", "train", "--data", tmp_path / "texts.jsonl"),
            *("--output", tmp_path / output, "--strategy", "multi_worker", "--epochs", "3"),
            *("--sequence-length", "64", "--vocabulary-size", "100", "--block-size", "8"),
            *("--batch-size", "6", "--checkpoint-every", "1", "--accumulate", "2", *more),
        ]

    whole = [train("whole")] * 2
    codes, logs = workers.finish(whole, tmp_path / "whole-logs")
    assert codes == [0, 0], "\n".join(logs)
    assert "Every batch is split 2 ways, over 2 machines." in logs[1]
    assert len(list((tmp_path / "whole" / "logs" / "train").iterdir())) == 1

    checkpoint = tmp_path / "killed" / "checkpoints" / "last.npz"
    killed = [train("killed")] * 2
    with workers.started(killed, tmp_path / "killed-logs") as processes:
        until = time.monotonic() + workers.TIMEOUT
        while position(checkpoint) < (1, 3):
            ended = [process.poll() for process in processes] != [None, None]
            assert not ended and time.monotonic() < until, workers.logs(killed, tmp_path)
            time.sleep(0.02)
        processes[1].send_signal(signal.SIGKILL)
        assert processes[0].wait(120) == 1
    chief, _ = workers.logs(killed, tmp_path / "killed-logs")
    assert "Another worker has ended or cannot be reached. Start all of them again" in chief
    assert "with --resume they go on" in chief
    assert (1, 3) <= position(checkpoint) < (3, 0)
    assert not (tmp_path / "killed" / "model.keras").exists()

    codes, logs = workers.finish([train("killed", "--resume")] * 2, tmp_path / "resumed-logs")
    assert codes == [0, 0], "\n".join(logs)
    assert "Resuming at step" in logs[1]
    reports = [json.loads((tmp_path / x / "report.json").read_text()) for x in ("whole", "killed")]
    models = [LongDocumentClassifier.load(tmp_path / x) for x in ("whole", "killed")]
    ends = [
        (report["history"], training_program.weights_of(model))
        for report, model in zip(reports, models, strict=True)
    ]
    training_program.assert_same(*ends, 1e-6)


def position(checkpoint):
    if not checkpoint.exists():
        return -1, 0
    with np.load(checkpoint) as file:
        state = json.loads(str(file["state"]))
    return state["epoch"], state["step"]


CLUSTER = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "Here it is not set"),
        ("", "Here it is not set"),
        ("{'cluster'", "it is not JSON"),
        ([], 'has no "cluster"'),
        ({"task": {"type": "worker", "index": 0}}, 'has no "cluster"'),
        ({"cluster": {"ps": ["a:1"]}}, "has a 'ps'; there are only chief and worker"),
        ({"cluster": {"worker": "a:1"}}, "is not a list of addresses: 'a:1'"),
        ({"cluster": {"worker": ["a"]}}, "not of the form host:port: 'a'"),
        ({"cluster": {"worker": [":1"]}}, "not of the form host:port: ':1'"),
        ({"cluster": {"worker": ["2222"]}}, "not of the form host:port: '2222'"),
        ({"cluster": {"worker": ["http://a:1"]}}, "not of the form host:port"),
        ({"cluster": {"worker": ["a:99999"]}}, "is not from 1 to 65535: 'a:99999'"),
        ({"cluster": {"worker": ["a:1", "a:1"]}}, "two of its processes have one address"),
        ({"cluster": {"chief": ["a:1"], "worker": ["a:1"]}}, "two of its processes have one"),
        ({"cluster": CLUSTER, "task": {"type": {}, "index": 0}}, "its task is a {}"),
        ({"cluster": CLUSTER, "task": {"type": "worker", "index": True}}, "is True"),
        ({"cluster": CLUSTER, "task": {"type": "worker", "index": "²"}}, "is '²'"),
        ({"cluster": {"chief": ["a:1", "b:1"]}}, "more than one chief"),
        ({"cluster": CLUSTER}, 'has no "task"'),
        ({"cluster": CLUSTER, "task": {"type": "chief", "index": 0}}, "its task is a 'chief'"),
        ({"cluster": CLUSTER, "task": {"type": "worker", "index": 2}}, "is 2, of 2 'worker'"),
        ({"cluster": CLUSTER, "task": {"type": "worker", "index": None}}, "is None"),
    ],
)
def test_wrong_tf_configs(config, words):
    text = config if config is None or isinstance(config, str) else json.dumps(config)
    with pytest.raises(ValueError, match="needs the environment variable TF_CONFIG") as caught:
        check_tf_config({} if text is None else {"TF_CONFIG": text})
    assert words in str(caught.value)


def test_a_command_without_tf_config(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    write_jsonl(tmp_path / "texts.jsonl", [("rain", "wet"), ("sand", "dry")])
    command = ["train", "--data", str(tmp_path / "texts.jsonl"), "--output", str(tmp_path / "out")]
    assert main([*command, "--strategy", "multi_worker"]) == 1
    assert "needs the environment variable TF_CONFIG" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_trains_with_what_it_made(tmp_path, capsys):
    """It refuses a model that `Distributed` refuses in `fit`."""
    tokenizer = ByteTokenizer(mask_token=True)
    backbone = CombinerBackbone.from_size(
        "tiny", tokenizer.vocabulary_size, sequence_length=32, factorization="routing"
    )
    CombinerMaskedLM(backbone, tokenizer).save(tmp_path / "model.keras")
    write_jsonl(tmp_path / "texts.jsonl", [("rain", "wet"), ("sand", "dry")] * 4)
    command = ["train", "--data", str(tmp_path / "texts.jsonl"), "--output", str(tmp_path / "out")]
    command += ["--pretrained", str(tmp_path), "--validation-split", "0", "--epochs", "1"]
    assert main([*command, "--strategy", "mirrored"]) == 1
    assert "The plan Routing learns from the documents" in capsys.readouterr().err
    assert not (tmp_path / "out" / "model.keras").exists()


class TestRefusals:
    def test_strategies(self):
        with pytest.raises(ValueError, match="must be one of 'mirrored', 'multi_worker'"):
            Distributed("parameter_server")

    def test_backends(self, monkeypatch):
        monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
        with pytest.raises(ValueError, match=r"needs the TensorFlow backend.* it is 'jax'"):
            Distributed("mirrored")

    def test_models(self):
        def model(**options):
            x = keras.Input((2,))
            model = keras.Model(x, keras.layers.Dense(1)(x))
            model.compile("sgd", "mse", **options)
            return model

        x, y = np.ones((4, 2)), np.ones((4, 1))
        distributed = Distributed("mirrored")
        with distributed.strategy.scope():
            mirrored = model()
        with pytest.raises(ValueError, match="in the scope of a strategy"):
            mirrored.fit(x, y, callbacks=[distributed], verbose=0)
        with pytest.raises(ValueError, match="steps_per_execution"):
            model(steps_per_execution=2).fit(x, y, callbacks=[distributed], verbose=0)
        assert isinstance(distributed.strategy, tf.distribute.MirroredStrategy)

    def test_plans_that_learn_from_what_they_see(self):
        backbone = CombinerBackbone.from_size(
            "tiny", 300, sequence_length=32, factorization="routing", static_length=True
        )
        model = LongDocumentClassifier(backbone, ByteTokenizer(), ["no", "yes"])
        with pytest.raises(ValueError, match="The plan Routing learns from the documents"):
            model.fit(["a", "b"], ["no", "yes"], callbacks=[Distributed("mirrored")], verbose=0)

    def test_a_language_model_is_refused(self):
        backbone = CombinerBackbone.from_size("tiny", 300, sequence_length=32)
        model = CombinerMaskedLM(backbone)
        model.compile()
        ids = np.ones((2, 8), "int32")
        with pytest.raises(ValueError, match="loss of a language model is a mean over"):
            model.fit(ids, ids, callbacks=[Distributed("mirrored")], verbose=0)
