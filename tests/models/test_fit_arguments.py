"""What users pass to `fit`, `evaluate` and `predict`: done as in Keras, or refused at once."""

import copy
import functools
import json
import math

import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_combiner import LongDocumentClassifier
from keras_combiner.data_warning import DataWarning
from keras_combiner.datasets import read_documents, write_jsonl
from keras_combiner.models import (
    CombinerBackbone,
    CombinerCausalLM,
    CombinerMaskedLM,
    default_recipe,
    token_id_model,
)
from keras_combiner.training import Checkpoints, Progress

SMALL = {
    "sequence_length": 16,
    "tokenizer": "bytes",
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 8,
    "block_size": 4,
    "verbose": False,
}
# Of one length, so that there is one graph.
TEXTS = [f"{('rain', 'king')[i % 2]} {i:02}" for i in range(10)]
LABELS = [("weather", "tale")[i % 2] for i in range(10)]
TARGETS = np.array([1, 0] * 5)
callbacks = keras.callbacks
EAGERLY = {
    "suppress_health_check": [hypothesis.HealthCheck.function_scoped_fixture],
    "phases": [hypothesis.Phase.generate],
}


def make(**options):
    return LongDocumentClassifier.from_texts(TEXTS, LABELS, **{**SMALL, **options})


def make_several():
    labels = [[x] for x in LABELS]
    return LongDocumentClassifier.from_texts(TEXTS, labels, task="multi_label", **SMALL)


def make_masked_lm(**options):
    return CombinerMaskedLM.from_texts(TEXTS, **{**SMALL, **options})


@pytest.fixture(scope="module")
def shared():
    """Tests must not train it."""
    return make()


@pytest.fixture(scope="module")
def windowed(shared):
    model = LongDocumentClassifier.from_config({**shared.get_config(), "long_texts": "windows"})
    model.set_weights(shared.get_weights())
    return model


@pytest.fixture
def fits(monkeypatch):
    """What reaches Keras's own `fit`, which then does nothing: list of dict."""
    received = []

    def fit(self, x=None, y=None, **kwargs):
        received.append({"x": x, "y": y, **kwargs})

    monkeypatch.setattr(keras.Model, "fit", fit)
    return received


def token_ids(model, texts=TEXTS):
    return model.tokenizer(texts, model.sequence_length).numpy()


def rates(model, *arguments, **options):
    """The learning rate of every step of a fit, and that after the last."""
    noted = []
    note = callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: noted.append(float(model.optimizer.learning_rate))
    )
    options["callbacks"] = [*options.get("callbacks", ()), note]
    model.fit(*arguments, verbose=0, **options)
    return [*noted, float(model.optimizer.learning_rate)]


# The learning rate


@hypothesis.given(
    n=st.integers(1, 20),
    batch_size=st.integers(1, 8),
    epochs=st.integers(1, 5),
    steps_per_epoch=st.none() | st.integers(1, 9),
    as_data_set=st.booleans(),
)
@hypothesis.settings(max_examples=40)
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_steps_are_counted_as_keras_takes_them(n, batch_size, epochs, steps_per_epoch, as_data_set):
    x = np.zeros((n, 2))
    batches = math.ceil(n / batch_size)
    data = x
    if as_data_set:
        data = tf.data.Dataset.from_tensor_slices(x).batch(batch_size)
    assert default_recipe.num_batches(data, batch_size) == batches
    if as_data_set:
        data = data.apply(tf.data.experimental.assert_cardinality(batches))
    iterator = EpochIterator(
        data,
        batch_size=None if as_data_set else batch_size,
        steps_per_epoch=steps_per_epoch,
        shuffle=False,
    )
    iterator.reset()
    taken = sum(len(list(iterator)) for _ in range(epochs))
    assert default_recipe.num_steps(batches, epochs, steps_per_epoch) == taken


@hypothesis.given(n=st.integers(2, 50), batch_size=st.integers(1, 9), share=st.floats(0.02, 0.9))
def test_a_split_leaves_as_many_batches_as_in_keras(n, batch_size, share):
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    x = np.zeros((n, 2))
    hypothesis.assume(0 < math.floor(n * (1.0 - share)) < n)
    (left, *_), _ = train_validation_split((x, None, None), share)
    assert default_recipe.num_batches(x, batch_size, share) == math.ceil(len(left) / batch_size)


@hypothesis.given(steps=st.integers(1, 5000))
def test_the_schedule_rises_then_falls_to_zero_and_no_step_is_wasted(steps):
    schedule = default_recipe.cosine(0.1, steps)
    at = [float(schedule(x)) for x in sorted({0, max(1, steps // 10), steps - 1, steps, steps + 9})]
    assert max(at) == pytest.approx(0.1, rel=1e-5)
    assert at[-1] == pytest.approx(0.0, abs=1e-7)
    assert float(schedule(steps)) == pytest.approx(0.0, abs=1e-7)
    if steps > 1:
        assert at[0] < at[1]


@pytest.mark.filterwarnings("ignore:The last . of:keras_combiner.data_warning.DataWarning")
@pytest.mark.parametrize("source", ["texts", "token ids", "data set", "endless"])
@hypothesis.given(
    epochs=st.integers(1, 4),
    initial_epoch=st.integers(0, 3),
    steps_per_epoch=st.none() | st.integers(1, 7),
    batch_size=st.integers(1, 6),
    accumulate=st.none() | st.integers(1, 3),
)
@hypothesis.settings(max_examples=6, **EAGERLY)
def test_the_learning_rate_ends_at_zero(
    fits, source, epochs, initial_epoch, steps_per_epoch, batch_size, accumulate
):
    model = _model_of_schedules()
    ids = token_ids(model)
    x, y, count = TEXTS, LABELS, len(TEXTS)
    if source == "token ids":
        x, y = ids, TARGETS
    elif source != "texts":
        x, y = tf.data.Dataset.from_tensor_slices((ids, TARGETS)).batch(batch_size), None
    if source == "endless":
        x, steps_per_epoch = x.repeat(), steps_per_epoch or 3
    batches = math.ceil(count / batch_size)
    left = max(0, epochs - initial_epoch)
    steps = left * (steps_per_epoch or batches)
    if source in ("token ids", "data set"):
        steps = default_recipe.num_steps(batches, left, steps_per_epoch)
    options = {
        "epochs": epochs,
        "initial_epoch": initial_epoch,
        "steps_per_epoch": steps_per_epoch,
        "batch_size": batch_size,
        "gradient_accumulation_steps": accumulate,
        "verbose": 0,
    }
    if accumulate and 0 < steps < accumulate:
        with pytest.raises(ValueError, match="the weights would never change"):
            model.fit(x, y, **options)
        return
    model.fit(x, y, **options)
    received = fits[-1]
    assert received["epochs"] == epochs
    assert received["initial_epoch"] == initial_epoch
    expected = (steps_per_epoch or batches) if source == "texts" else steps_per_epoch
    assert received["steps_per_epoch"] == expected
    # Schedules count batches, whether or not the optimizer accumulates their gradients.
    schedule = model.optimizer._learning_rate
    assert float(schedule(max(1, steps))) == pytest.approx(0.0, abs=1e-8)
    if steps > 1:
        assert float(schedule(0)) == 0.0
        assert max(float(schedule(i)) for i in range(steps)) == pytest.approx(2e-3, rel=1e-4)
        assert float(schedule(steps - 1)) > 0.0


@functools.cache
def _model_of_schedules():
    return make()


@pytest.mark.parametrize("accumulate", [None, 2])
def test_keras_takes_the_steps_that_the_schedule_is_made_for(eager, accumulate):
    model = make()
    options = {"batch_size": 4, "epochs": 3, "initial_epoch": 1, "steps_per_epoch": 2}
    noted = rates(model, TEXTS, LABELS, gradient_accumulation_steps=accumulate, **options)
    assert len(noted) == 2 * 2 + 1
    assert noted[0] == 0.0
    assert max(noted) == pytest.approx(2e-3)
    assert noted[-1] == pytest.approx(0.0, abs=1e-8)


def test_a_training_of_one_step_learns(eager, shared):
    model = make()
    before = model.get_weights()
    model.fit(TEXTS, LABELS, verbose=0)
    assert any(np.any(x != y) for x, y in zip(before, model.get_weights(), strict=True))


def test_data_without_a_known_end(fits):
    model = make()
    data = tf.data.Dataset.from_tensor_slices((token_ids(model), TARGETS)).batch(4)
    with pytest.raises(ValueError, match=r"has no end\. Pass `steps_per_epoch`"):
        model.fit(data.repeat(), verbose=0)
    with pytest.warns(UserWarning, match="neither warms up nor decays. Pass `steps_per_epoch`"):
        model.fit(data.filter(lambda x, y: True), verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(2e-3)


# Callbacks


class Count(callbacks.Callback):
    """Counts what it is told."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append("train")

    def on_test_batch_end(self, batch, logs=None):
        self.calls.append("test batch")

    def on_test_end(self, logs=None):
        self.calls.append(("test", sorted(logs)))

    def on_predict_batch_end(self, batch, logs=None):
        self.calls.append("predict batch")


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


def test_backup_and_restore_goes_on_where_it_was(eager, tmp_path):
    options = {"epochs": 2, "batch_size": 5, "seed": 1, "verbose": 0}
    # Keras keeps weights and the optimizer, but not what random layers would draw next.
    whole, stopped, resumed = (make(dropout=0.0, token_dropout=0.0) for _ in range(3))
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


# Numbers and names


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, "8"])
@pytest.mark.parametrize("kind", ["texts", "token ids"])
def test_batch_sizes_that_are_refused(kind, wrong, shared):
    x, y = (TEXTS, LABELS) if kind == "texts" else (token_ids(shared), TARGETS)
    for method, arguments in (("fit", (x, y)), ("evaluate", (x, y)), ("predict", (x,))):
        with pytest.raises(ValueError, match="`batch_size` must be an int of at least 1"):
            getattr(shared, method)(*arguments, batch_size=wrong, verbose=0)


def test_batch_sizes_that_are_taken(eager, shared):
    expected = shared.predict(TEXTS, verbose=0)
    for batch_size in (None, np.int64(5)):
        received = shared.predict(TEXTS, batch_size=batch_size, verbose=0)
        np.testing.assert_allclose(received, expected, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": -1},
        {"epochs": 1.0},
        {"epochs": None},
        {"initial_epoch": -1},
        {"steps_per_epoch": 0},
        {"steps_per_epoch": -1},
        {"steps_per_epoch": 1.5},
        {"validation_steps": 0},
        {"validation_batch_size": 0},
        {"gradient_accumulation_steps": 0},
    ],
)
@pytest.mark.parametrize("kind", ["texts", "token ids"])
def test_counts_that_are_refused(fits, kind, wrong, shared):
    x, y = (TEXTS, LABELS) if kind == "texts" else (token_ids(shared), TARGETS)
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"`{name}` must be an int .*Received: {value}"):
        shared.fit(x, y, **{"epochs": 1, **wrong}, verbose=0)
    assert not fits


@pytest.mark.parametrize("wrong", [1.0, 1.5, -0.1, "0.2", float("nan")])
def test_validation_splits_that_are_refused(wrong, shared, tmp_path):
    write_jsonl(tmp_path / "documents.jsonl", zip(TEXTS, LABELS, strict=True))
    reader = read_documents(tmp_path / "documents.jsonl")
    for data in ((token_ids(shared), TARGETS), (TEXTS, LABELS), (reader,)):
        with pytest.raises(ValueError, match="`validation_split` must lie between 0 and 1"):
            shared.fit(*data, validation_split=wrong, verbose=0)


def test_no_epochs_are_no_training(eager):
    model = make()
    before = model.get_weights()
    for options in ({"epochs": 0}, {"epochs": 2, "initial_epoch": 2}):
        assert model.fit(TEXTS, LABELS, verbose=0, **options).history == {}
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_unknown_keywords(shared, windowed):
    lm = make_masked_lm()
    for call in (
        lambda: shared.fit(TEXTS, LABELS, ephocs=2),
        lambda: lm.fit(TEXTS, ephocs=2),
        lambda: lm.evaluate(TEXTS, ephocs=2),
        lambda: shared.evaluate(TEXTS, LABELS, ephocs=2),
        lambda: windowed.evaluate(TEXTS, LABELS, ephocs=2),
        lambda: shared.predict(TEXTS, ephocs=2),
    ):
        with pytest.raises(TypeError, match="unexpected keyword argument 'ephocs'"):
            call()


# Validation


def write(tmp_path):
    write_jsonl(tmp_path / "documents.jsonl", zip(TEXTS, LABELS, strict=True))
    return read_documents(tmp_path / "documents.jsonl")


def test_every_kind_of_validation_is_the_same(eager, tmp_path):
    model = make()
    ids = token_ids(model)
    reader = write(tmp_path)
    kinds = {
        "pair": (TEXTS, LABELS),
        "list": [TEXTS, LABELS],
        "triple": (TEXTS, LABELS, None),
        "weighted": (TEXTS, LABELS, np.ones(10)),
        "reader": reader,
        "reader alone in a tuple": (reader,),
        "token ids": (ids, TARGETS),
        "weighted token ids": (ids, TARGETS, np.ones(10)),
        "data set": tf.data.Dataset.from_tensor_slices((ids, TARGETS)).batch(3),
    }
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.learning_rate = 0.0
    expected = model.evaluate(TEXTS, LABELS, verbose=0)
    for i, (name, kind) in enumerate(kinds.items()):
        x, y = ((TEXTS, LABELS), (ids, TARGETS))[i % 2]
        history = model.fit(x, y, validation_data=kind, validation_batch_size=9, verbose=0).history
        received = [history["val_loss"][0], history["val_accuracy"][0]]
        assert received == pytest.approx(expected, rel=1e-5), name


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (([], []), "There is no document in `validation_data`"),
        ([], "Every text needs a label. Received: 0 texts"),
        (TEXTS, "Every text needs a label"),
        ((TEXTS, LABELS, LABELS, LABELS), "must be a pair .* Received: tuple of 4"),
        ((TEXTS, LABELS[:3]), "Every text needs a label"),
    ],
)
@pytest.mark.parametrize("kind", ["texts", "token ids"])
def test_validation_that_is_refused_before_training(fits, kind, wrong, words, shared):
    x, y = (TEXTS, LABELS) if kind == "texts" else (token_ids(shared), TARGETS)
    with pytest.raises(ValueError, match=words):
        shared.fit(x, y, validation_data=wrong, verbose=0)
    assert not fits


def pairs(ids, y):
    yield ids, y


class Inputs(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return np.ones((2, 4), "int32")


IDS = np.ones((10, 16), "int32")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (pairs(TEXTS, LABELS), "must be a pair of texts .* Received: generator"),
        (pairs(IDS, TARGETS), "Received: generator"),
        (iter([(IDS, TARGETS)]), "Received: list_iterator"),
        (pairs, "Received: function"),
        (5, "Received: int"),
        ({"a": 1}, "Received: dict"),
        ({1, 2}, "Received: set"),
        ((None, None), "Received: NoneType"),
        (IDS, "targets .* must be arrays of numbers. Received: NoneType"),
        ((IDS,), "targets .* must be arrays of numbers. Received: NoneType"),
        ((IDS, LABELS), "targets .* must be arrays of numbers. Received: list"),
        ((IDS, TARGETS[:3]), "as many targets, .* Received: 3 and 10"),
        ((IDS, TARGETS, np.ones(9)), "Received: 9 and 10"),
        ((IDS[:0], TARGETS[:0]), "at least one. Received: 0"),
        ((np.ones((2, 3, 4), int), TARGETS[:2]), r"at most 16 long. Received: shape \(2, 3, 4\)"),
        ((np.ones((2, 17), int), TARGETS[:2]), r"Received: shape \(2, 17\)"),
        (
            tf.data.Dataset.from_tensors(IDS),
            "set must have targets. Received: a .*Dataset of inputs",
        ),
        (Inputs(), "set must have targets. Received: a Inputs of inputs"),
    ],
)
@pytest.mark.parametrize("kind", ["texts", "token ids"])
def test_unusable_validation_is_refused_at_once(fits, kind, wrong, words, shared):
    x, y = (TEXTS, LABELS) if kind == "texts" else (token_ids(shared), TARGETS)
    with pytest.raises(ValueError, match=words):
        shared.fit(x, y, validation_data=wrong, verbose=0)
    assert not fits


def test_masked_language_models_validate_too(fits):
    lm = make_masked_lm()
    for kind in (TEXTS, (TEXTS,), (TEXTS, None)):
        lm.fit(TEXTS, validation_data=kind, verbose=0)
        assert int(fits[-1]["validation_data"].cardinality()) == 1
    with pytest.raises(ValueError, match="Texts are their own targets"):
        lm.fit(TEXTS, validation_data=(TEXTS, LABELS), verbose=0)
    with pytest.raises(ValueError, match="Texts are their own targets"):
        lm.evaluate(TEXTS, LABELS)
    with pytest.raises(ValueError, match="There is no document in `validation_data`"):
        lm.fit(TEXTS, validation_data=[], verbose=0)
    with pytest.raises(ValueError, match="have no weights"):
        lm.fit(TEXTS, validation_data=(TEXTS, None, np.ones(10)), verbose=0)


@pytest.mark.parametrize("source", ["lists", "reader"])
def test_validation_steps_and_batch_size(eager, source, tmp_path):
    for long_texts in ("truncate", "windows"):
        model = make(long_texts=long_texts)
        validation = (TEXTS, LABELS) if source == "lists" else write(tmp_path)
        history = model.fit(
            TEXTS,
            LABELS,
            epochs=3,
            initial_epoch=1,
            validation_data=validation,
            validation_steps=2,
            validation_batch_size=3,
            validation_freq=[3],
            verbose=0,
        ).history
        expected = model.evaluate(TEXTS[:6], LABELS[:6], verbose=0, return_dict=True)
        assert history["val_loss"] == pytest.approx([expected["loss"]], rel=1e-5)
        assert history["val_accuracy"] == pytest.approx([expected["accuracy"]], rel=1e-5)


# Losses and metrics that compare the number of a class with every output


def ordinal(y, y_pred):
    """A loss of somebody's own, which broadcasts on purpose."""
    ranks = keras.ops.arange(y_pred.shape[-1], dtype="float32")
    away = keras.ops.abs(ranks - keras.ops.reshape(keras.ops.cast(y, "float32"), (-1, 1)))
    return keras.ops.sum(away * y_pred, axis=-1)


@pytest.mark.parametrize(
    ("compiled", "words"),
    [
        ({"loss": "mse"}, "The loss 'mse' takes a target for each of 2 outputs"),
        ({"loss": keras.losses.MeanAbsoluteError(name="mine")}, "The loss mine takes"),
        ({"loss": keras.losses.huber}, "The loss .*huber.* takes a target"),
        ({"loss": "binary_crossentropy"}, "The loss 'binary_crossentropy' takes"),
        ({"loss": "categorical_crossentropy"}, "Compile with 'sparse_categorical_crossentropy'"),
        ({"metrics": ["accuracy", "AUC"]}, "The metric 'AUC' takes"),
        ({"metrics": [keras.metrics.F1Score()]}, "The metric f1_score takes"),
        ({"metrics": {"probabilities": ["mae"]}}, "The metric 'mae' takes"),
        ({"weighted_metrics": [keras.metrics.Precision()]}, "The metric precision.* takes"),
    ],
)
def test_losses_and_metrics_of_other_shapes(fits, compiled, words, shared):
    model = copy.copy(shared)
    model.compile(**{"loss": "sparse_categorical_crossentropy", **compiled})
    ids = token_ids(model)
    for y in (TARGETS, TARGETS.reshape(-1, 1), keras.ops.convert_to_tensor(TARGETS)):
        with pytest.raises(ValueError, match=words):
            model.fit(ids, y, verbose=0)
    data = tf.data.Dataset.from_tensor_slices((ids, TARGETS)).batch(2)
    for arguments in ((TEXTS, LABELS), (data,)):
        with pytest.raises(ValueError, match=words):
            model.fit(*arguments, verbose=0)
    assert not fits
    if "loss" in compiled or "metrics" in compiled:
        model.fit(ids, np.eye(2)[TARGETS], verbose=0)  # which they are for
        assert len(fits) == 1


@pytest.mark.parametrize(
    "compiled",
    [
        {"loss": ordinal},
        {"loss": keras.losses.SparseCategoricalCrossentropy(), "metrics": ["accuracy"]},
        {"metrics": ["acc", "crossentropy", keras.metrics.SparseTopKCategoricalAccuracy(2)]},
        {"metrics": [ordinal, keras.metrics.MeanMetricWrapper(ordinal)]},
    ],
)
def test_losses_and_metrics_of_the_right_shapes(fits, compiled, shared):
    model = copy.copy(shared)
    model.compile(**{"loss": "sparse_categorical_crossentropy", **compiled})
    for x, y in ((TEXTS, LABELS), (token_ids(model), TARGETS)):
        model.fit(x, y, verbose=0)
    assert len(fits) == 2


def test_targets_of_several_labels_are_rows(fits):
    model = make_several()
    model.compile("sgd", "mse")
    for y in (TARGETS, TARGETS.reshape(-1, 1)):
        with pytest.raises(ValueError, match=r"Pass targets of shape \[documents, labels\]"):
            model.fit(token_ids(model), y, verbose=0)
    model.fit(TEXTS, [[x] for x in LABELS], verbose=0)
    model.fit(token_ids(model), np.eye(2)[TARGETS], verbose=0)
    assert len(fits) == 2


# Strings where there should be token ids


class Strings(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return np.array(TEXTS[:5]), TARGETS[:5]


def test_data_sets_of_strings_are_refused_at_once(fits, shared, tmp_path):
    pairs = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS))
    words = "must hold token ids here. Received: one of strings. Pass lists of texts"
    for data in (pairs, pairs.batch(2), pairs.map(lambda x, y: x), write(tmp_path).dataset()):
        for call in (shared.fit, shared.evaluate, shared.predict):
            with pytest.raises(TypeError, match=words):
                call(data)
        with pytest.raises(TypeError, match=words):
            shared.fit(TEXTS, LABELS, validation_data=data, verbose=0)
    for call in (shared.fit, shared.evaluate, shared.predict):
        with pytest.raises(TypeError, match=f"A Strings {words}"):
            call(Strings())
    assert not fits


def test_strings_are_not_token_ids(eager, shared):
    model = make()
    model.compile("sgd", "sparse_categorical_crossentropy")
    backbone = CombinerBackbone(50, 16, 1, 2, 8, 8, use_causal_mask=True)
    for call in (
        model,
        CombinerCausalLM(backbone),
        model.predict_on_batch,
        lambda x: model.test_on_batch(x, TARGETS),
        lambda x: model.train_on_batch(x, TARGETS),
    ):
        for x in (TEXTS, np.array(TEXTS), tf.constant(TEXTS)):
            with pytest.raises(TypeError, match=r"is called with token ids\. Received: strings"):
                call(x)


def test_a_data_set_is_asked_for_its_kind_once_and_not_in_every_epoch(eager):
    class Ids(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            asked.append(index)
            return np.ones((2, 4), "int32"), TARGETS[:2]

    def times_asked(fit, *arguments, **options):
        asked.clear()
        fit(*arguments, validation_data=Ids(), verbose=0, **options)
        return len(asked)

    model, asked = make(), []
    for epochs in (1, 3):
        ours = times_asked(model.fit, TEXTS, LABELS, epochs=epochs)
        of_keras = times_asked(keras.Model.fit, model, token_ids(model), TARGETS, epochs=epochs)
        assert of_keras >= epochs
        assert ours == of_keras + 1


def test_every_call_is_checked_once(monkeypatch):
    checked = []
    monkeypatch.setattr(token_id_model, "refuse_strings", lambda *args: checked.append(args))
    for model in (make(), make_masked_lm()):
        checked.clear()
        model(np.ones((1, 4), "int32"))
        assert len(checked) == 1


# Evaluating and predicting


def test_steps_are_as_many_batches_of_the_first_documents(eager, shared, windowed, tmp_path):
    texts = [f"{'word ' * (7 - i % 5)}{i}" for i in range(10)]
    write_jsonl(tmp_path / "documents.jsonl", zip(texts, LABELS, strict=True))
    reader = read_documents(tmp_path / "documents.jsonl")
    for model in (shared, windowed):
        everything = model.predict(texts, verbose=0)
        expected = model.evaluate(texts[:6], LABELS[:6], verbose=0, return_dict=True)
        for arguments in ((texts, LABELS), (reader,)):
            options = {"batch_size": 3, "steps": 2, "verbose": 0}
            received = model.predict(arguments[0], **options)
            np.testing.assert_allclose(received, everything[:6], atol=1e-6)
            received = model.evaluate(*arguments, **options, return_dict=True)
            assert received == pytest.approx(expected, rel=1e-5)
    with pytest.warns(UserWarning, match=r"`steps` is 5, but there are only 10 documents: 4"):
        assert len(shared.predict(texts, batch_size=3, steps=5, verbose=0)) == 10
    with pytest.raises(ValueError, match="`steps` must be an int of at least 1"):
        shared.predict(texts, steps=0)
    first = reader.take(4)
    assert len(list(first.places())) == len(list(first)) == 4
    assert not first.has_weights
    weighted = [{"text": x, "label": y, "w": 2.0} for x, y in zip(texts, LABELS, strict=True)]
    (tmp_path / "weighted.jsonl").write_text("\n".join(map(json.dumps, weighted)))
    first = read_documents(tmp_path / "weighted.jsonl", weight_field="w").take(4)
    assert first.has_weights
    assert [x.weight for x in first] == [2.0] * 4


@hypothesis.given(
    n=st.integers(1, 10), batch_size=st.integers(1, 7), data=st.data(), windows=st.booleans()
)
@hypothesis.settings(max_examples=5, **EAGERLY)
def test_evaluate_is_what_predict_says(eager, shared, windowed, n, batch_size, data, windows):
    model = windowed if windows else shared
    texts = data.draw(
        st.lists(st.sampled_from(["", "a", "rain", "k" * 40]), min_size=n, max_size=n)
    )
    labels = LABELS[:n]
    results = model.evaluate(texts, labels, batch_size=batch_size, verbose=0, return_dict=True)
    probabilities = model.predict(texts, batch_size=batch_size, verbose=0).astype("float64")
    of_truth = probabilities[np.arange(n), [model.labels.index(x) for x in labels]]
    assert results["loss"] == pytest.approx(-np.log(of_truth).mean(), rel=1e-4)
    assert results["accuracy"] == pytest.approx((of_truth > 0.5).mean(), abs=1e-6)


def test_validation_is_evaluation(eager):
    for long_texts in ("truncate", "windows"):
        model = make(long_texts=long_texts)
        texts = [f"{'word ' * (7 - i % 5)}{i}" for i in range(7)]
        history = model.fit(
            TEXTS, LABELS, validation_data=(texts, LABELS[:7]), batch_size=3, verbose=0
        ).history
        results = model.evaluate(texts, LABELS[:7], verbose=0, return_dict=True)
        assert history["val_loss"][0] == pytest.approx(results["loss"], rel=1e-5)
        assert history["val_accuracy"][0] == pytest.approx(results["accuracy"], rel=1e-5)


def test_windows_are_evaluated_as_keras_evaluates(eager, windowed, capsys):
    model = copy.copy(windowed)
    count = Count()
    model.evaluate(TEXTS, LABELS, batch_size=4, callbacks=count, verbose=0)
    assert count.calls == [*["test batch"] * 3, ("test", ["accuracy", "loss"])]
    model.predict(TEXTS, batch_size=4, callbacks=count, verbose=0)
    assert count.calls[4:] == ["predict batch"] * 3
    model.evaluate(TEXTS, LABELS, verbose=2)
    assert "loss" in capsys.readouterr().out
    for name in ("evaluate", "fit"):
        with pytest.raises(ValueError, match="There is no document to"):
            getattr(model, name)([], [])
    # With a loss alone, Keras returns a number and not a list.
    model = copy.copy(windowed)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert isinstance(model.evaluate(TEXTS, LABELS, verbose=0), float)


# Copies


@pytest.mark.parametrize("trained", [False, True])
def test_copies(fits, trained):
    for model, y in ((make(), LABELS), (make_masked_lm(), None)):
        if trained:
            model.fit(TEXTS, y, verbose=0)
            assert not model._compiled_by_user
        ids = token_ids(model)
        with pytest.raises(NotImplementedError, match=r"from_config\(model\.get_config\(\)\)"):
            keras.models.clone_model(model)
        same = copy.deepcopy(model)
        assert json.dumps(same.get_config()) == json.dumps(model.get_config())
        np.testing.assert_allclose(same(ids), model(ids), atol=1e-6)
        assert not same._compiled_by_user  # which leaves it to the recipe


def test_clones_of_backbones_and_of_models_that_hold_one():
    backbone = make().backbone
    ids = np.array([[1, 2, 3, 0]])
    token_ids = keras.Input([None], dtype="int32")
    for model in (backbone, keras.Model(token_ids, backbone(token_ids))):
        clone = keras.models.clone_model(model)
        clone.set_weights(model.get_weights())
        np.testing.assert_allclose(clone(ids), model(ids), atol=1e-6)
        assert {id(x) for x in clone.weights}.isdisjoint({id(x) for x in model.weights})


def test_the_recipe_is_told_from_what_the_user_compiles(fits):
    model = make()
    model.fit(TEXTS, LABELS, verbose=0)
    own = keras.losses.SparseCategoricalCrossentropy()
    model.compile(model.optimizer, own)
    model.fit(TEXTS, LABELS, verbose=0)
    assert model.loss is own


def test_batches_that_change_no_weight_are_said(monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda self, *args, **options: None)
    with pytest.warns(DataWarning, match="The last 2 of 5 batches change no weight"):
        make().fit(TEXTS[:5], LABELS[:5], batch_size=1, gradient_accumulation_steps=3)
