"""Training that is stopped and resumed ends as if it had not been."""

import errno
import io
import json
import types

import keras
import numpy as np
import pytest

from keras_combiner import tasks
from keras_combiner.datasets import read_documents
from keras_combiner.file_lock import FileLock
from keras_combiner.models import LongDocumentClassifier
from keras_combiner.training import (
    BestModel,
    Checkpoints,
    FiniteLoss,
    Progress,
    TextTrainingCallback,
    progress,
)

# Of one length, so that no time goes into graphs for others.
TEXTS = [f"{('rain and wind', 'tales of kings')[i % 2]:<14} {i:02}" for i in range(40)]
LABELS = [("weather", "tale")[i % 2] for i in range(40)]
OPTIONS = {"epochs": 2, "batch_size": 8, "seed": 1, "verbose": 0, "validation_split": 0.2}


def classifier(eager=True, **options):
    keras.utils.set_random_seed(0)
    model = LongDocumentClassifier.from_texts(
        TEXTS,
        LABELS,
        sequence_length=32,
        tokenizer="bytes",
        verbose=False,
        num_layers=1,
        block_size=8,
        hidden_dim=16,
        intermediate_dim=16,
        num_heads=2,
        **options,
    )
    if eager:  # a few steps are sooner taken than compiled
        loss = "sparse_categorical_crossentropy"
        model.compile("adam", loss, metrics=["accuracy"], run_eagerly=True)
    return model


class Stop(keras.callbacks.Callback):
    """Ends training as a signal would: in the middle, with an error."""

    def __init__(self, epoch, step):
        super().__init__()
        self.at = epoch, step

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise InterruptedError


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


def test_a_callback_of_the_user_is_told_and_its_state_is_kept(tmp_path):
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


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
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


def compiled(model, learning_rate=0.01, loss="sparse_categorical_crossentropy"):
    model.compile(keras.optimizers.Adam(learning_rate), loss, run_eagerly=True)
    return model


def doubled(targets, outputs):
    return 2 * keras.losses.sparse_categorical_crossentropy(targets, outputs)


def frozen(model):
    model.backbone.get_layer("encoder_0").trainable = False
    return compiled(model)


HELD_OUT = (["rain and kings", "tales of wind"], ["weather", "tale"])
# What is changed between two runs, and what the error says of it.
CHANGES = {
    "labels swapped": ({"y": LABELS[::-1]}, "labels of the training documents[,.]"),
    "a letter": ({"x": ["R" + TEXTS[0][1:], *TEXTS[1:]]}, "texts of the training documents[,.]"),
    "other order": ({"x": TEXTS[::-1], "y": LABELS[::-1]}, "texts of the training documents[,.]"),
    "one more": (
        {"x": [*TEXTS, "rain"], "y": [*LABELS, "tale"]},
        r"number of the training documents \(it was 40, now 41\)",
    ),
    "validation texts": (
        {"validation_data": (HELD_OUT[0][::-1], HELD_OUT[1])},
        "texts of the validation documents[,.]",
    ),
    "validation labels": (
        {"validation_data": (HELD_OUT[0], HELD_OUT[1][::-1])},
        "labels of the validation documents[,.]",
    ),
    "no validation": (
        {"validation_data": None},
        r"number of the validation documents \(it was 2, now left out\)",
    ),
    "weights of classes": ({"class_weight": {"tale": 2.0}}, "class_weight"),
    "not shuffled": ({"shuffle": False}, r"order \(it was shuffled, now given\)"),
    "learning rate": (
        {"model": lambda: compiled(classifier(False), learning_rate=0.5)},
        r"learning_rate of the optimizer \(it was 0\.0\d+, now 0\.5\)",
    ),
    "loss": (
        {"model": lambda: compiled(classifier(False), loss=doubled)},
        r"loss \(it was sparse_categorical_crossentropy, now doubled\)",
    ),
    "dropout": (
        {"model": lambda: compiled(classifier(False, token_dropout=0.5))},
        r"token_dropout of the model \(it was 0\.3, now 0\.5\)",
    ),
    "precision": (
        {"model": lambda: compiled(classifier(False, dtype="mixed_bfloat16"))},
        r"dtype of the backbone of the model \(it was float32, now mixed_bfloat16\)",
    ),
    "frozen": ({"model": lambda: frozen(classifier(False))}, "weights that are trainable"),
    "names of labels": (
        {
            "model": lambda: compiled(renamed(classifier(False))),
            "y": [x.upper() for x in LABELS],
            "class_weight": {"TALE": 1.5},
            "validation_data": (HELD_OUT[0], [x.upper() for x in HELD_OUT[1]]),
        },
        "labels of the model[,.]",
    ),
}


def renamed(model):
    config = {**model.get_config(), "labels": [x.upper() for x in model.labels]}
    return LongDocumentClassifier.from_config(config)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The bytes of a checkpoint, and what was given to `fit`, with callbacks of each kind."""
    path = tmp_path_factory.mktemp("stopped") / "last.npz"
    given = {
        "x": TEXTS,
        "y": LABELS,
        "validation_data": HELD_OUT,
        "class_weight": {"tale": 1.5},
        "batch_size": 8,
        "epochs": 2,
        "seed": 1,
        "verbose": 0,
    }
    model = compiled(classifier(False))
    with pytest.raises(InterruptedError):
        model.fit(**given, callbacks=[*watching(path), Stop(0, 2)])
    model.save(path.with_name("model.keras"))
    return path, given


def watching(path, **options):
    return [
        Progress(io.StringIO()),
        keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True),
        BestModel(path.with_name("best.keras")),
        Checkpoints(path, every=1, **options),
    ]


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_between_two_runs_is_named(change, stopped, tmp_path):
    path, given = stopped
    changed, words = CHANGES[change]
    given = {**given, **changed}
    model = given.pop("model", lambda: compiled(classifier(False)))()
    with pytest.raises(ValueError, match=f"other settings: .*{words}") as caught:
        model.fit(**given, callbacks=watching(path, resume=True))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_weights_of_classes_belong_to_a_training(task, tmp_path):
    labels = LABELS if task == "single_label" else [[x] for x in LABELS]
    size = {"num_layers": 1, "hidden_dim": 8, "intermediate_dim": 8, "num_heads": 2}
    model = compiled(
        LongDocumentClassifier.from_texts(
            TEXTS,
            labels,
            task=task,
            sequence_length=8,
            tokenizer="bytes",
            verbose=False,
            block_size=8,
            **size,
        ),
        loss=tasks.get(task).loss,
    )
    given = {"x": TEXTS, "y": labels, "batch_size": 20, "epochs": 2, "seed": 1, "verbose": 0}
    given["class_weight"] = {"tale": 2.0}
    with pytest.raises(InterruptedError):
        model.fit(**given, callbacks=[Checkpoints(tmp_path / "last.npz", every=1), Stop(0, 1)])
    for other in (None, {"tale": 3.0}, {"weather": 2.0}):
        resumed = [Checkpoints(tmp_path / "last.npz", resume=True), Stop(9, 9)]
        with pytest.raises(ValueError, match="other settings: class_weight"):
            model.fit(**{**given, "class_weight": other}, callbacks=resumed)
    # However the same weights are said.
    given["class_weight"] = {"tale": np.float32(2), "weather": 1}
    assert len(model.fit(**given, callbacks=resumed).history["loss"]) == 2


def test_a_model_that_was_loaded_goes_on(stopped, tmp_path):
    path, given = stopped
    copy = tmp_path / "last.npz"
    copy.write_bytes(path.read_bytes())
    loaded = compiled(LongDocumentClassifier.load(path.with_name("model.keras")))
    with pytest.raises(InterruptedError):
        loaded.fit(**given, callbacks=[*watching(copy, resume=True), Stop(1, 0)])
    assert Checkpoints(copy, resume=True).position == (1, 0)


def test_whatever_is_missing_in_a_checkpoint_is_said(stopped, tmp_path):
    path, given = stopped
    with np.load(path) as file:
        arrays = dict(file)
    state = json.loads(str(arrays.pop("state")))
    broken = [
        *(({**state, key: None}, arrays) for key in state),
        *((without(state, key), arrays) for key in state),
        *(
            ({**state, "settings": without(state["settings"], x)}, arrays)
            for x in ("seed", "steps", "epochs", "batch_size", "class_name of the optimizer")
        ),
        *((state, without(arrays, name)) for name in [*list(arrays)[:2], *list(arrays)[-2:]]),
    ]
    for i, (kind, kept) in enumerate(state["callbacks"]):
        for key in kept:
            callbacks = list(state["callbacks"])
            callbacks[i] = [kind, without(kept, key)]
            broken.append(({**state, "callbacks": callbacks}, arrays))
    model = compiled(classifier(False))
    copy = tmp_path / "last.npz"
    for i, (some_state, some_arrays) in enumerate(broken):
        np.savez(copy, state=np.array(json.dumps(some_state)), **some_arrays)
        with pytest.raises(ValueError) as caught:
            model.fit(**given, callbacks=[*watching(copy, resume=True), Stop(0, 2)])
        assert str(copy) in str(caught.value), (i, some_state, caught.value)


def without(x, key):
    return {name: value for name, value in x.items() if name != key}


def test_callbacks_that_watch_another_figure_are_others(stopped):
    path, given = stopped
    callbacks = watching(path, resume=True)
    callbacks[2] = BestModel(path.with_name("best.keras"), monitor="loss")
    words = r"other callbacks: .*BestModel\(val_loss, min\).* Received: .*BestModel\(loss, min\)"
    with pytest.raises(ValueError, match=words):
        compiled(classifier(False)).fit(**given, callbacks=callbacks)


def test_a_checkpoint_is_one_trainings(stopped, tmp_path):
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


def test_who_waited_for_another_training_goes_on_where_that_ended(stopped, tmp_path):
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


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    class Spoil(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.set_weights([x * np.nan for x in self.model.get_weights()])

    model = classifier()
    with pytest.raises(RuntimeError, match="not finite"):
        model.fit(TEXTS, LABELS, callbacks=[Spoil(), Checkpoints(tmp_path / "last.npz")], **OPTIONS)
    assert Checkpoints(tmp_path / "last.npz", resume=True).position == (0, 0)


def test_progress_counts_documents_and_tokens(capsys):
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


def test_progress_counts_the_seconds_of_before_a_resumption(tmp_path, monkeypatch):
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
