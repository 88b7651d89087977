"""A training that is not the one of the checkpoint is refused, and what differs is named."""

import json

import keras
import numpy as np
import pytest

from keras_combiner import tasks
from keras_combiner.models import LongDocumentClassifier
from keras_combiner.training import BestModel, Checkpoints
from tests.training.conftest import HELD_OUT, LABELS, TEXTS, Stop, classifier, compiled, watching


def doubled(targets, outputs):
    return 2 * keras.losses.sparse_categorical_crossentropy(targets, outputs)


def frozen(model):
    model.backbone.get_layer("encoder_0").trainable = False
    return compiled(model)


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
    "head": (  # as a training that was begun before a default changed
        {"model": lambda: compiled(classifier(False, lexical=False))},
        r"lexical of the model \(it was True, now False\)",
    ),
    "another plan": (
        {"model": lambda: compiled(classifier(False, factorization="window"))},
        r"factorization of the backbone of the model[^a-z]",
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
def same_model():
    """As the one that was stopped. Tests must not train it."""
    return compiled(classifier(False))


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_between_two_runs_is_named(change, stopped, same_model, tmp_path):
    path, given = stopped
    changed, words = CHANGES[change]
    given = {**given, **changed}
    model = given.pop("model", lambda: same_model)()
    with pytest.raises(ValueError, match=f"other settings: .*{words}") as caught:
        model.fit(**given, callbacks=watching(path, resume=True))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "task", ["multi_label", pytest.param("single_label", marks=pytest.mark.slow)]
)
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
