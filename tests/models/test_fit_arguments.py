"""What users pass to `fit`, `evaluate` and `predict`: done as in Keras, or refused at once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.data_warning import DataWarning
from keras_combiner.datasets import read_documents, write_jsonl
from keras_combiner.models import (
    CombinerBackbone,
    CombinerCausalLM,
    token_id_model,
)
from tests.models.ten_texts import LABELS, TARGETS, TEXTS, make, make_masked_lm, token_ids, write

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


def test_every_call_is_checked_once(monkeypatch):
    checked = []
    monkeypatch.setattr(token_id_model, "refuse_strings", lambda *args: checked.append(args))
    for model in (make(), make_masked_lm()):
        checked.clear()
        model(np.ones((1, 4), "int32"))
        assert len(checked) == 1


# The recipe


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
