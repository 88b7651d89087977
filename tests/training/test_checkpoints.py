"""Training that is stopped and resumed ends as if it had not been."""

import errno

import keras
import numpy as np
import pytest

from keras_combiner.file_lock import FileLock
from keras_combiner.models import LongDocumentClassifier
from keras_combiner.training import BestModel, Checkpoints, TextTrainingCallback
from tests.training.conftest import LABELS, OPTIONS, TEXTS, Stop, classifier, compiled, watching


def callbacks(folder, **options):
    return [
        keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True),
        BestModel(folder / "best.keras"),
        Checkpoints(folder / "last.npz", **options),
    ]


@pytest.mark.parametrize("eager", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_resumed_training_ends_with_the_same_weights_and_history(eager, tmp_path):
    whole = classifier(eager)
    uninterrupted = callbacks(tmp_path / "whole", every=2)
    history = whole.fit(TEXTS, LABELS, callbacks=uninterrupted, **OPTIONS).history

    stopped = classifier(eager)
    folder = tmp_path / "stopped"
    with pytest.raises(InterruptedError):
        stopped.fit(TEXTS, LABELS, callbacks=[*callbacks(folder, every=2), Stop(1, 2)], **OPTIONS)
    assert Checkpoints(folder / "last.npz", resume=True).position == (1, 2)

    resumed = classifier(eager)
    resumed.set_weights([x + 1 for x in resumed.get_weights()])  # nothing of it may remain
    again = callbacks(folder, every=2, resume=True)
    assert resumed.fit(TEXTS, LABELS, callbacks=[*again, Stop(9, 9)], **OPTIONS).history == history
    for one, other in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    for one, other in zip(whole.optimizer.variables, resumed.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    for name in ("wait", "best", "best_epoch", "stopped_epoch"):
        assert getattr(uninterrupted[0], name) == getattr(again[0], name)
    assert uninterrupted[1].get_state() == again[1].get_state()

    # A training that is over has nothing left to do, but still a history.
    over = callbacks(folder, resume=True)
    assert classifier(eager).fit(TEXTS, LABELS, callbacks=over, **OPTIONS).history == history

    # What would not be the same training is refused.
    for changed in ({"seed": 2}, {"batch_size": 4}, {"epochs": 3}):
        with pytest.raises(ValueError, match=f"other settings: .*{next(iter(changed))}"):
            classifier().fit(
                TEXTS,
                LABELS,
                callbacks=callbacks(folder, resume=True),
                **{**OPTIONS, **changed},
            )
    with pytest.raises(ValueError, match="with other callbacks"):
        classifier(eager).fit(TEXTS, LABELS, callbacks=[over[-1]], **OPTIONS)


class Told(TextTrainingCallback):
    """Keeps what `fit` says, and counts epochs across resumptions."""

    def __init__(self):
        super().__init__()
        self.epochs = 0

    def follow_batches(self, batches, steps, epochs, position):
        self.told = (len(batches), steps, epochs, position)

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1

    def get_state(self):
        return {"epochs": self.epochs}

    def set_state(self, state):
        self.epochs = state["epochs"]


def test_a_callback_of_the_user_is_told_and_its_state_is_kept(counted_steps, tmp_path):
    first, again = Told(), Told()
    path = tmp_path / "last.npz"
    with pytest.raises(InterruptedError):
        classifier(eager=True).fit(
            TEXTS, LABELS, callbacks=[first, Checkpoints(path), Stop(1, 0)], **OPTIONS
        )
    steps, epochs = first.told[0], OPTIONS["epochs"]
    assert first.told == (steps, steps, epochs, (0, 0))
    model, checkpoints = classifier(eager=True), Checkpoints(path, resume=True)
    model.fit(TEXTS, LABELS, callbacks=[again, checkpoints, Stop(9, 9)], **OPTIONS)
    assert again.told == (steps, steps, epochs, (1, 0))
    assert again.epochs == epochs


def test_a_full_disk_leaves_the_last_checkpoint(counted_steps, tmp_path, monkeypatch):
    savez, calls = np.savez, []

    def full(file, **arrays):
        calls.append(file.name)
        if len(calls) > 2:
            file.write(b"a part of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", full)
    checkpoints = Checkpoints(tmp_path / "last.npz", every=2)
    with pytest.raises(OSError, match="last good one is kept: make room") as caught:
        classifier().fit(TEXTS, LABELS, callbacks=[checkpoints], **OPTIONS)
    assert caught.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == ["last.npz"]
    assert Checkpoints(tmp_path / "last.npz", resume=True).position == (0, 2)


def test_a_model_that_was_loaded_goes_on(stopped, counted_steps, tmp_path):
    path, given = stopped
    copy = tmp_path / "last.npz"
    copy.write_bytes(path.read_bytes())
    loaded = compiled(LongDocumentClassifier.load(path.with_name("model.keras")))
    with pytest.raises(InterruptedError):
        loaded.fit(**given, callbacks=[*watching(copy, resume=True), Stop(1, 0)])
    assert Checkpoints(copy, resume=True).position == (1, 0)


def test_a_checkpoint_is_one_trainings(stopped, counted_steps, tmp_path):
    _, given = stopped
    path = tmp_path / "last.npz"
    lock = FileLock(tmp_path / "last.lock", "trains")
    lock.acquire()
    with pytest.raises(BlockingIOError, match=r"another process trains .*\; process \d+ on "):
        compiled(classifier(False)).fit(**given, callbacks=[Checkpoints(path)])
    # Of several that train together, one writes.
    with pytest.raises(InterruptedError):
        compiled(classifier(False)).fit(
            **given, callbacks=[Checkpoints(path, write=False), Stop(0, 0)]
        )
    assert [x.name for x in tmp_path.iterdir()] == ["last.lock"]
    lock.release()
    with pytest.raises(InterruptedError):
        compiled(classifier(False)).fit(**given, callbacks=[Checkpoints(path), Stop(0, 0)])
    assert [x.name for x in tmp_path.iterdir()] == ["last.npz"]  # given back after an error, too


def test_who_waited_for_another_training_goes_on_where_that_ended(stopped, counted_steps, tmp_path):
    path, given = stopped
    copy = tmp_path / "last.npz"
    copy.write_bytes(path.read_bytes())
    early, none_yet = (Checkpoints(x, resume=True) for x in (copy, tmp_path / "new.npz"))
    assert early.position == (0, 2) and none_yet.position == (0, 0)
    with pytest.raises(InterruptedError):
        others = [*watching(path, resume=True)[:-1], Checkpoints(copy, resume=True)]
        compiled(classifier(False)).fit(**given, callbacks=[*others, Stop(1, 0)])
    (tmp_path / "new.npz").write_bytes(copy.read_bytes())
    for checkpoints in (early, none_yet):
        waited = [*watching(path)[:-1], checkpoints]
        with pytest.raises(InterruptedError):
            compiled(classifier(False)).fit(**given, callbacks=[*waited, Stop(1, 0)])
        assert checkpoints.position == (1, 0)


class TestRefusals:
    def test_arguments(self, tmp_path):
        with pytest.raises(ValueError, match=r"ends in \.npz"):
            Checkpoints(tmp_path / "last.keras")
        with pytest.raises(ValueError, match="`every` must be"):
            Checkpoints(tmp_path / "last.npz", every=0)

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file", b"text"])
    def test_what_is_no_checkpoint(self, tmp_path, content):
        (tmp_path / "last.npz").write_bytes(content)
        with pytest.raises(ValueError, match="not a checkpoint, or a damaged one"):
            Checkpoints(tmp_path / "last.npz", resume=True)

    def test_token_ids(self, tmp_path):
        model = classifier()
        with pytest.raises(ValueError, match="on texts"):
            model.fit(
                np.ones((4, 32), "int32"),
                np.zeros(4, "int32"),
                callbacks=[Checkpoints(tmp_path / "last.npz")],
                verbose=0,
            )


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    class Spoil(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.set_weights([x * np.nan for x in self.model.get_weights()])

    model = classifier()
    with pytest.raises(RuntimeError, match="not finite"):
        model.fit(TEXTS, LABELS, callbacks=[Spoil(), Checkpoints(tmp_path / "last.npz")], **OPTIONS)
    assert Checkpoints(tmp_path / "last.npz", resume=True).position == (0, 0)
