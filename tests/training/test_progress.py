"""What is said of a training: documents, tokens, time, and a loss that is not a number."""

import io
import types

import keras
import numpy as np
import pytest

from keras_combiner.datasets import read_documents
from keras_combiner.training import Checkpoints, FiniteLoss, Progress, progress
from tests.training.conftest import LABELS, OPTIONS, TEXTS, Stop, classifier


def test_a_loss_that_is_no_number_names_the_documents(tmp_path):
    model = classifier()
    weights = model.get_weights()
    weights[-1][:] = np.nan
    model.set_weights(weights)
    path = tmp_path / "texts.csv"
    path.write_text(
        "text,label\n" + "".join(f"{t},{y}\n" for t, y in zip(TEXTS, LABELS, strict=True))
    )
    training, _ = read_documents(path).split(0.1)
    with pytest.raises(RuntimeError, match="The loss is nan at step 1 of epoch 1") as caught:
        model.fit(training, batch_size=3, verbose=0, callbacks=[FiniteLoss()])
    named = str(caught.value).split("The batch was: ")[1].split(". Take")[0].split(", ")
    assert len(named) == 3
    lines = {int(place.removeprefix(f"{path}:")) for place in named}
    assert lines <= set(range(2, 42))
    with pytest.raises(RuntimeError, match=r"The batch was: document \d+, document \d+\. Take"):
        model.fit(TEXTS, LABELS, batch_size=2, verbose=0, callbacks=[FiniteLoss()])


def test_progress_counts_documents_and_tokens(counted_steps, capsys):
    progress = Progress()
    model = classifier()
    model.fit(TEXTS, LABELS, callbacks=[progress], **{**OPTIONS, "validation_split": 0.0})
    first, *epochs = capsys.readouterr().out.splitlines()
    assert first.startswith("Training on 40 documents, ")
    assert [line.split("  ")[0] for line in epochs] == ["epoch 1/2", "epoch 2/2"]
    assert "documents/s" in epochs[0] and epochs[1].endswith(" 0:00 left")
    for epoch in progress.epochs:
        assert epoch["documents_per_second"] * epoch["seconds"] == pytest.approx(40)
        tokens = epoch["tokens_per_second"] * epoch["seconds"]
        assert tokens == pytest.approx(progress.data["tokens"])


def test_windows_count_as_their_share_of_the_documents():
    progress = Progress(io.StringIO())
    model = classifier(long_texts="windows")
    texts = [f"{text} " * 3 if i % 2 else text for i, text in enumerate(TEXTS[:8])]
    model.fit(texts, LABELS[:8], callbacks=[progress], epochs=1, batch_size=8, verbose=0)
    assert progress.data["windows"] > 8
    (epoch,) = progress.epochs
    assert epoch["documents_per_second"] * epoch["seconds"] == pytest.approx(8)


def test_the_time_left_is_that_of_steps_but_the_first(monkeypatch, capsys):
    class Batches:
        def summary(self):
            return {"documents": 8, "windows": 8}

        def size(self, position):
            return 2, 100

    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    progress = Progress()
    progress.follow_batches(Batches(), steps=4, epochs=2, position=(0, 0))
    progress.on_epoch_begin(0)
    for step, seconds in enumerate([100.0, 1.0, 1.0, 1.0]):  # the first builds the program
        clock[0] += seconds
        progress.on_train_batch_end(step)
    progress.on_epoch_end(0)
    lines = capsys.readouterr().out.splitlines()[1:]  # the first says what is trained on
    # No terminal: a line for the step after which a minute is over, and one for the epoch.
    assert [line.split("  ")[1] for line in lines] == ["step 1/4", "step 4/4"]
    assert lines[-1].endswith(" 0:04 left")


def test_progress_counts_the_seconds_of_before_a_resumption(counted_steps, tmp_path, monkeypatch):
    now = 0

    class Tick(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            nonlocal now
            now += 100

    monkeypatch.setattr(progress, "time", types.SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(Progress, "_write", lambda *args, **kwargs: None)
    path = tmp_path / "last.npz"
    first = [Tick(), Progress(), Checkpoints(path, every=2)]
    with pytest.raises(InterruptedError):
        classifier().fit(TEXTS, LABELS, callbacks=[*first, Stop(1, 2)], **OPTIONS)
    assert first[1].seconds == 700  # the last step is in no checkpoint
    now = 5000
    again = [Tick(), Progress(), Checkpoints(path, every=2, resume=True)]
    classifier().fit(TEXTS, LABELS, callbacks=again, **OPTIONS)
    assert again[1].seconds == 600 + (now - 5000)
