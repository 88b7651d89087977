"""Training a classifier: on lists, readers, ids and data sets, by the recipe or one's own."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner import LongDocumentClassifier
from keras_combiner.datasets import read_documents, write_jsonl
from tests.models.weather_and_tales import (
    LABELS,
    MANY_LABELS,
    MANY_TEXTS,
    TEXTS,
    make,
    token_ids,
)


@pytest.fixture
def reader(tmp_path):
    path = tmp_path / "documents.jsonl"
    write_jsonl(path, zip(MANY_TEXTS, MANY_LABELS, strict=True))
    return read_documents(path)


def test_from_texts_reads_a_reader(reader):
    model = make(reader.texts(), reader.labels(), vocabulary_size=60)
    assert model.labels == ["tale", "weather"]


def test_fits_and_evaluates_readers(eager, reader):
    model = make(tokenizer="bytes")
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(1))
    history = model.fit(
        reader, epochs=2, batch_size=24, validation_data=reader, verbose=0, callbacks=[count]
    )
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len(steps) == 2 * math.ceil(32 / 24)
    from_reader = model.evaluate(reader, verbose=0, return_dict=True)
    from_lists = model.evaluate(MANY_TEXTS, MANY_LABELS, verbose=0, return_dict=True)
    assert from_reader == pytest.approx(from_lists, rel=1e-5)
    np.testing.assert_allclose(
        model.predict(reader, verbose=0), model.predict(MANY_TEXTS, verbose=0), atol=1e-6
    )


def test_reader_part_trains_as_the_list_of_its_documents(eager, reader):
    # The same batches in the same order: the same weights.
    results = []
    for arguments in ((reader, None), (MANY_TEXTS, MANY_LABELS)):
        keras.utils.set_random_seed(3)
        model = make(tokenizer="bytes", dropout=0.0)
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        model.fit(*arguments, shuffle=False, verbose=0)
        results.append(model.get_weights())
    for first, second in zip(*results, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize(
    "source", [pytest.param("lists", marks=pytest.mark.slow), "reader", "token ids"]
)
def test_validation_split_holds_documents_out(eager, source, reader):
    model = make(tokenizer="bytes")
    arguments = {
        "lists": (MANY_TEXTS, MANY_LABELS),
        "reader": (reader,),
        "token ids": (token_ids(model, MANY_TEXTS), np.array([1, 0] * 16)),
    }[source]
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(1))
    history = model.fit(
        *arguments, validation_split=0.25, batch_size=12, verbose=0, callbacks=[count]
    )
    assert "val_accuracy" in history.history
    assert len(steps) == 2  # 24 documents are left


def test_validation_split_is_disjoint_and_fixed(monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda *args, **kwargs: None)
    texts = [f"text {i}" for i in range(20)]
    seen = []
    model = make(texts, ["a", "b"] * 10, tokenizer="bytes")
    batches = model._batches

    def spy(documents, *args, **kwargs):
        seen.append(sorted(zip(documents.texts, documents.labels, strict=True)))
        return batches(documents, *args, **kwargs)

    model._batches = spy
    for _ in range(2):
        model.fit(texts, ["a", "b"] * 10, validation_split=0.2, verbose=0)
    training, validation = seen[:2]
    assert seen[2:] == [training, validation]
    assert len(validation) == 4
    assert sorted(training + validation) == sorted(zip(texts, ["a", "b"] * 10, strict=True))


@pytest.mark.parametrize("validation_split", [1.0, 1.5, -0.1])
def test_wrong_validation_split(validation_split, classifier):
    with pytest.raises(ValueError, match="`validation_split` must lie between 0 and 1"):
        classifier.fit(TEXTS, LABELS, validation_split=validation_split, verbose=0)


def learning_rates(model, *arguments, **options):
    """The learning rate of every step of a fit."""
    rates = []

    def note(batch, logs):
        rates.append(float(model.optimizer.learning_rate))

    callback = keras.callbacks.LambdaCallback(on_train_batch_begin=note)
    model.fit(*arguments, verbose=0, callbacks=[callback], **options)
    return rates


@pytest.mark.parametrize("source", ["lists", pytest.param("token ids", marks=pytest.mark.slow)])
def test_own_recipe_warms_up_and_decays_in_every_fit(counted_steps, source):
    model = make(tokenizer="bytes")
    arguments = (MANY_TEXTS, MANY_LABELS)
    if source == "token ids":
        arguments = (token_ids(model, MANY_TEXTS), np.array([1, 0] * 16))
    for _ in range(2):  # a second fit is not stuck at the end of the first one's schedule
        rates = learning_rates(model, *arguments, epochs=5, batch_size=8)
        assert len(rates) == 20
        assert max(rates) == pytest.approx(2e-3, rel=0.02)
        assert rates.index(max(rates)) <= 3
        assert 0 <= rates[-1] < 1e-4
    assert isinstance(model.optimizer, keras.optimizers.AdamW)
    assert model.optimizer.clipnorm == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("source", ["lists", "token ids"])
def test_a_fit_traces_its_step_once(source, monkeypatch):
    traces = []
    step = LongDocumentClassifier.train_step
    monkeypatch.setattr(
        LongDocumentClassifier, "train_step", lambda *data: (traces.append(data), step(*data))[1]
    )
    model = make(tokenizer="bytes")
    texts = ["the same length"] * 8
    x = texts if source == "lists" else token_ids(model, texts)
    model.fit(x, LABELS * 2 if source == "lists" else np.array([1, 0] * 4), epochs=2, verbose=0)
    assert len(traces) == 1


def test_schedule_of_token_ids_ends_with_the_steps_that_are_trained(counted_steps):
    model = make(tokenizer="bytes")
    arguments = (token_ids(model, MANY_TEXTS), np.array([1, 0] * 16))
    rates = learning_rates(model, *arguments, epochs=5, batch_size=8, validation_split=0.5)
    assert len(rates) == 10
    assert rates[-1] < 2e-4


@pytest.mark.parametrize("source", [pytest.param("lists", marks=pytest.mark.slow), "token ids"])
def test_evaluating_first_does_not_spoil_training(counted_steps, source):
    model = make(tokenizer="bytes")
    model.evaluate(TEXTS, LABELS, verbose=0)
    arguments = (MANY_TEXTS, MANY_LABELS)
    if source == "token ids":
        arguments = (token_ids(model, MANY_TEXTS), np.array([1, 0] * 16))
    rates = learning_rates(model, *arguments, epochs=5, batch_size=8)
    assert max(rates) == pytest.approx(2e-3, rel=0.02)


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")  # not counted
@pytest.mark.filterwarnings("ignore:The data set does not say how many batches:UserWarning")
@pytest.mark.parametrize("counted", [False, True])
def test_fits_tf_data_of_token_ids(eager, counted):
    model = make(tokenizer="bytes")
    ids = token_ids(model, MANY_TEXTS)
    labels = np.array([1, 0] * 16)
    if counted:
        data = tf.data.Dataset.from_tensor_slices((ids, labels)).batch(16)
    else:
        data = tf.data.Dataset.from_generator(
            lambda: ((ids[i : i + 16], labels[i : i + 16]) for i in range(0, 32, 16)),
            output_signature=(tf.TensorSpec([None, 24], "int32"), tf.TensorSpec([None], "int32")),
        )
    history = model.fit(data, epochs=1, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"][0])


def test_own_compile_is_respected(eager, tmp_path):
    model = make(tokenizer="bytes")
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.5),
        loss="sparse_categorical_crossentropy",
        metrics=["sparse_top_k_categorical_accuracy"],
    )
    for _ in range(2):
        history = model.fit(TEXTS, LABELS, verbose=0)
        assert set(history.history) == {"loss", "sparse_top_k_categorical_accuracy"}
        assert isinstance(model.optimizer, keras.optimizers.SGD)
    # ... and comes back from a file.
    model.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    loaded.fit(TEXTS, LABELS, verbose=0)
    assert isinstance(loaded.optimizer, keras.optimizers.SGD)
    assert loaded.optimizer.momentum == 0.5


def test_default_recipe_is_taken_up_anew_after_loading(counted_steps, tmp_path):
    model = make(tokenizer="bytes")
    model.fit(TEXTS, LABELS, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    rates = learning_rates(loaded, MANY_TEXTS, MANY_LABELS, epochs=5, batch_size=8)
    assert max(rates) == pytest.approx(2e-3, rel=0.02)


@pytest.mark.slow
def test_xla_trains_to_the_same_weights():
    results = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(2)
        model = make(tokenizer="bytes", dropout=0.0, token_dropout=0.0, lexical=False)
        model.compile(
            keras.optimizers.SGD(0.1),
            "sparse_categorical_crossentropy",
            jit_compile=jit_compile,
            run_eagerly=not jit_compile,
        )
        # Two batches whose longest documents differ: padding makes no difference.
        model.fit(TEXTS, LABELS, batch_size=2, shuffle=False, verbose=0)
        results.append((model.predict(TEXTS, verbose=0), model.get_weights()))
    (expected, expected_weights), (received, received_weights) = results
    np.testing.assert_allclose(received, expected, atol=1e-5)
    for first, second in zip(received_weights, expected_weights, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains(eager, dtype):
    model = make(tokenizer="bytes", dtype=dtype)
    history = model.fit(MANY_TEXTS, MANY_LABELS, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    probabilities = model.predict([*TEXTS, ""], verbose=0)
    assert probabilities.dtype == "float32"
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("how", ["fit", "fit, validation_split", "evaluate"])
@pytest.mark.parametrize("number", [3, 5])
def test_every_text_needs_a_label(number, how, classifier):
    model = classifier
    labels = (LABELS * 2)[:number]
    with pytest.raises(ValueError, match=f"Every text needs a label.*4 texts, {number} labels"):
        if how == "evaluate":
            model.evaluate(TEXTS, labels, verbose=0)
        else:
            split = 0.25 if "split" in how else 0.0
            model.fit(TEXTS, labels, validation_split=split, verbose=0)


@pytest.mark.parametrize("validation_split", [0.0, 0.25])
def test_texts_without_labels_are_refused(validation_split, classifier):
    with pytest.raises(ValueError, match="label"):
        classifier.fit(TEXTS, validation_split=validation_split, verbose=0)


@pytest.mark.parametrize(
    ("label", "words"),
    [("poem", "unknown label 'poem'"), (None, r"The label is missing \(None\)")],
)
def test_what_is_no_label_in_a_reader(label, words, classifier, tmp_path):
    write_jsonl(tmp_path / "x.jsonl", [("a", "tale"), ("b", label)])
    reader = read_documents(tmp_path / "x.jsonl", require_labels=False)
    with pytest.raises(ValueError, match=rf"x\.jsonl:2: {words}"):
        classifier.fit(reader, verbose=0)


def test_nothing_to_train_on(classifier):
    words = "There is no document to train on"
    with pytest.raises(ValueError, match=words):
        classifier.fit([], [], verbose=0)
    with pytest.raises(ValueError, match=words):
        classifier.fit(TEXTS[:1], LABELS[:1], validation_split=0.5, verbose=0)
