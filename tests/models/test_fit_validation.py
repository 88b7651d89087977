"""Validation data of every kind: evaluated as `evaluate` does, or refused before training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.ten_texts import LABELS, TARGETS, TEXTS, make, make_masked_lm, token_ids, write


@pytest.mark.slow
def test_every_kind_of_validation_is_the_same(counted_steps, tmp_path):
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


@pytest.mark.slow
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
def test_validation_steps_and_batch_size(counted_steps, source, tmp_path):
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


def test_validation_is_evaluation(eager):
    for long_texts in ("truncate", "windows"):
        model = make(long_texts=long_texts)
        texts = [f"{'word ' * (7 - i % 5)}{i}" for i in range(7)]
        history = model.fit(
            TEXTS[:3], LABELS[:3], validation_data=(texts, LABELS[:7]), batch_size=3, verbose=0
        ).history
        results = model.evaluate(texts, LABELS[:7], verbose=0, return_dict=True)
        assert history["val_loss"][0] == pytest.approx(results["loss"], rel=1e-5)
        assert history["val_accuracy"][0] == pytest.approx(results["accuracy"], rel=1e-5)


@pytest.mark.slow
def test_a_data_set_is_asked_for_its_kind_once_and_not_in_every_epoch(counted_steps):
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
    for epochs in (1, 2):
        ours = times_asked(model.fit, TEXTS, LABELS, epochs=epochs)
        of_keras = times_asked(keras.Model.fit, model, token_ids(model), TARGETS, epochs=epochs)
        assert of_keras >= epochs
        assert ours == of_keras + 1
