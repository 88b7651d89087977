"""Callbacks of `fit`, `evaluate` and `predict`: as in Keras."""

import copy

import keras
import numpy as np
import pytest

from keras_combiner import LongDocumentClassifier
from keras_combiner.training import Checkpoints, Progress
from tests.models.ten_texts import (
    LABELS,
    TARGETS,
    TEXTS,
    make,
    rates,
    token_ids,
)

callbacks = keras.callbacks


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: x,
        lambda x: (x, None),
        lambda x: [[x]],
        lambda x: callbacks.CallbackList([x]),
        lambda x: [callbacks.CallbackList([x], add_history=True)],
    ],
)
def test_callbacks_come_as_they_may_in_keras(fits, wrap, shared, tmp_path):
    checkpoints = Checkpoints(tmp_path / "last.npz")
    model = copy.copy(shared)
    model.fit(TEXTS, LABELS, callbacks=wrap(checkpoints), verbose=0)
    received = fits[-1]["callbacks"]
    assert received[-1] is checkpoints
    assert checkpoints._settings["epochs"] == 1  # it was told
    assert sum(isinstance(x, callbacks.History) for x in received) == 1


@pytest.mark.parametrize("wrong", [print, callbacks.TerminateOnNaN, ["history"]])
def test_what_is_not_a_callback(wrong, shared):
    words = "`callbacks` must be a keras.callbacks.Callback or a list of them. Received: "
    for call in (shared.predict, lambda x, **options: shared.fit(x, LABELS, **options)):
        with pytest.raises(TypeError, match=words):
            call(TEXTS, callbacks=wrong)


def test_callbacks_that_set_the_learning_rate(eager):
    model = make()
    halving = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    noted = rates(model, TEXTS, LABELS, epochs=3, callbacks=[halving])
    assert noted[:3] == pytest.approx([1e-3, 5e-4, 2.5e-4])
    plateau = callbacks.ReduceLROnPlateau("loss", 0.1, patience=1, min_delta=99.0, min_lr=1e-5)
    noted = rates(model, token_ids(model), TARGETS, epochs=4, callbacks=[plateau])
    assert noted == pytest.approx([2e-3, 2e-3, 2e-4, 2e-5, 1e-5])


@pytest.mark.slow
def test_early_stopping_and_others(eager, tmp_path):
    model = make()
    seen = []
    watch = [
        callbacks.EarlyStopping("loss", min_delta=99.0, patience=1, restore_best_weights=True),
        callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
        callbacks.CSVLogger(tmp_path / "log.csv"),
        callbacks.TerminateOnNaN(),
        callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.get_weights())),
    ]
    history = model.fit(TEXTS, LABELS, epochs=5, callbacks=watch, batch_size=5, verbose=0)
    assert history.epoch == [0, 1]
    for one, best in zip(model.get_weights(), seen[0], strict=True):
        np.testing.assert_array_equal(one, best)
    loaded = LongDocumentClassifier.load(tmp_path / "1.keras")
    for one, best in zip(loaded.get_weights(), seen[0], strict=True):
        np.testing.assert_array_equal(one, best)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize("compiled", [False, True])
def test_averages_need_an_optimizer_that_averages(compiled, shared):
    model = copy.copy(shared)
    if compiled:
        model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="SwapEMAWeights needs an optimizer that averages"):
        model.fit(TEXTS, LABELS, callbacks=callbacks.SwapEMAWeights(), verbose=0)


class Stop(callbacks.Callback):
    """Ends training as a signal would, after an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise InterruptedError


@pytest.mark.slow
def test_backup_and_restore_goes_on_where_it_was(eager, tmp_path):
    options = {"epochs": 2, "batch_size": 5, "seed": 1, "verbose": 0}
    # Keras keeps weights and the optimizer, but not what random layers would draw next.
    whole, stopped, resumed = (
        make(dropout=0.0, token_dropout=0.0, lexical=False) for _ in range(3)
    )
    for model in (stopped, resumed):
        model.set_weights(whole.get_weights())
    whole.fit(TEXTS, LABELS, **options)
    backup = callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(InterruptedError):
        stopped.fit(TEXTS, LABELS, callbacks=[backup, Stop(1)], **options)
    resumed.set_weights([x + 1 for x in resumed.get_weights()])  # nothing of it may remain
    again = callbacks.BackupAndRestore(tmp_path / "backup")
    history = resumed.fit(TEXTS, LABELS, callbacks=again, **options)
    assert history.epoch == [1]
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # The next training is another one.
    assert resumed.fit(TEXTS, LABELS, verbose=0).epoch == [0]


@pytest.mark.parametrize(
    "more", [{"initial_epoch": 1}, {"callbacks": [callbacks.BackupAndRestore("backup")]}]
)
def test_checkpoints_alone_say_where_to_start(more, shared, tmp_path):
    own = [Checkpoints(tmp_path / "last.npz"), *more.get("callbacks", [])]
    with pytest.raises(ValueError, match="`Checkpoints` says where training starts: leave out"):
        shared.fit(TEXTS, LABELS, epochs=3, **{**more, "callbacks": own}, verbose=0)


def test_progress_needs_texts(eager):
    model = make()
    with pytest.raises(ValueError, match="Progress is for `fit` on texts"):
        model.fit(token_ids(model), TARGETS, callbacks=[Progress()], verbose=0)


def test_steps_of_one_execution_divide_an_epoch(fits, shared):
    model = copy.copy(shared)
    model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=2)
    with pytest.raises(ValueError, match=r"must divide the steps of an epoch, 5\. Received: 2"):
        model.fit(TEXTS, LABELS, batch_size=2, verbose=0)
    model.fit(TEXTS, LABELS, batch_size=2, steps_per_epoch=4, verbose=0)
    assert fits[-1]["steps_per_epoch"] == 4
