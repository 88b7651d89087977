"""Several labels, numbers, windows and class weights, from the labels to the answer."""

import importlib

import keras
import numpy as np
import pytest

from keras_combiner import LongDocumentClassifier, tasks
from keras_combiner.batches.documents import Documents
from keras_combiner.cli.main import main
from keras_combiner.datasets import Document, read_documents, write_jsonl
from keras_combiner.models import TokenEvidence
from keras_combiner.models.not_finite_error import NotFiniteError
from tests.tasks.small_classifier import NUMBERS, SEVERAL, SMALL, TEXTS, make

# Models of this file train as graphs, in many steps; what else is asked of them takes few.
pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def multi_label():
    keras.utils.set_random_seed(0)
    model = make(SEVERAL, task="multi_label")
    model.learning_rate = 3e-2
    model.fit(TEXTS, SEVERAL, epochs=16, batch_size=32, verbose=0, seed=1)
    return model


@pytest.fixture(scope="module")
def regression():
    keras.utils.set_random_seed(0)
    model = make(NUMBERS, task="regression")
    model.learning_rate = 3e-2
    model.fit(TEXTS, NUMBERS, epochs=25, batch_size=32, verbose=0, seed=1)
    return model


@pytest.mark.slow
def test_several_labels_are_learned(multi_label):
    assert multi_label.labels == ["a", "b"]
    results = multi_label.classify(TEXTS[:4])
    assert [sorted(x["labels"]) for x in results] == SEVERAL[:4]
    assert list(results[0]) == ["labels", "probabilities", "tokens", "truncated"]
    assert list(results[0]["probabilities"]) == ["a", "b"]
    metrics = multi_label.evaluate(TEXTS, SEVERAL, verbose=0, return_dict=True)
    assert set(metrics) == {"loss", "accuracy", "f1"}
    assert metrics["accuracy"] == metrics["f1"] == 1


def test_numbers_are_learned_in_their_own_unit(regression):
    assert regression.labels == []
    assert regression.output_shape == (None, 1)
    values = [x["value"] for x in regression.classify(TEXTS[:4])]
    np.testing.assert_allclose(values, NUMBERS[:4], atol=400)
    metrics = regression.evaluate(TEXTS, NUMBERS, verbose=0, return_dict=True)
    assert set(metrics) == {"loss", "mean_absolute_error"}
    expected = np.abs(np.array(values) - NUMBERS[:4]).mean()
    assert metrics["mean_absolute_error"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", ["multi_label", "regression"])
def test_are_saved(name, tmp_path, request):
    model = request.getfixturevalue(name)
    model.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    assert loaded.task.get_config() == model.task.get_config()
    assert loaded.classify(TEXTS[:4]) == model.classify(TEXTS[:4])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "labels"),
    [("multi_label", SEVERAL), ("regression", NUMBERS)],
    ids=["multi_label", "regression"],
)
def test_readers_bring_their_targets(task, labels, tmp_path):
    if task == "multi_label":
        labels = [tuple(x) for x in labels]
    write_jsonl(tmp_path / "r.jsonl", map(Document, TEXTS, labels))
    reader = read_documents(tmp_path / "r.jsonl")
    model = LongDocumentClassifier.from_texts(
        reader.texts(), reader.labels(), task=reader.task, **SMALL
    )
    history = model.fit(reader, validation_split=0.25, verbose=0).history
    assert f"val_{model.task.headline}" in history
    from_reader = model.evaluate(reader, verbose=0)
    assert from_reader == pytest.approx(model.evaluate(TEXTS, labels, verbose=0), rel=1e-4)


def test_figures_are_those_of_keras(multi_label, regression):
    for model, labels in ((multi_label, SEVERAL), (regression, NUMBERS)):
        targets = np.array([model.task.target(x, model.labels) for x in labels])
        figures = model.task.measure(targets, model.predict(TEXTS, verbose=0), model.labels)
        metrics = model.evaluate(TEXTS, labels, verbose=0, return_dict=True)
        for name, value in metrics.items():
            assert figures[name] == pytest.approx(value, rel=1e-3)
        assert str(figures["documents"]) in model.task.table(figures)


@pytest.mark.parametrize("name", ["multi_label", "regression"])
def test_evidence_adds_up(name, request):
    model = request.getfixturevalue(name)
    token_ids = model.tokenizer(TEXTS[:4], 24)
    outputs, weights = TokenEvidence(model)(token_ids)
    outputs, totals = np.array(outputs), np.array(weights).sum(-1)
    # Of a document without tokens, the bias alone speaks.
    bias = model.task.linear(np.array(model(np.zeros((1, 24), "int32"))))[0]
    winner = outputs.argmax(-1)
    expected = model.task.linear(outputs)[np.arange(4), winner] - bias[winner]
    np.testing.assert_allclose(totals, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "labels", "words"),
    [
        ({"task": "many"}, LABELS := ["x", "y"] * 16, "`task` must be one of 'single_label'"),
        ({"task": "multi_label"}, LABELS, r"Expected a list of labels for every document \(task="),
        ({}, SEVERAL, r"Expected one label \(task='single_label'\). Received: \['a'\]"),
        ({"task": "regression"}, LABELS, "Expected a finite number for every document"),
        ({"task": "regression"}, [float("nan")] * 32, "Expected a finite number"),
        ({"task": "multi_label"}, [[]] * 32, "different names, at least one"),
        ({"long_texts": "drop"}, LABELS, "`long_texts` must be one of 'truncate', 'windows'"),
    ],
)
def test_what_does_not_go_together(options, labels, words):
    with pytest.raises(ValueError, match=words):
        make(labels, **options)


def test_labels_of_another_kind_show_before_training(multi_label, regression):
    with pytest.raises(ValueError, match=r"label 0: unknown label 'z'\. Nearest of the 2 labels"):
        multi_label.fit(TEXTS[:1], [["z"]], verbose=0)
    with pytest.raises(ValueError, match="Expected a list of labels"):
        multi_label.evaluate(TEXTS[:1], ["a"], verbose=0)
    with pytest.raises(ValueError, match="Expected a finite number"):
        regression.fit(TEXTS[:1], ["a"], verbose=0)


# Class weights


@pytest.mark.slow
@pytest.mark.parametrize("source", ["lists", "reader", "token ids"])
def test_balanced_is_what_its_numbers_are(source, tmp_path):
    labels = ["x"] * 24 + ["y"] * 8
    write_jsonl(tmp_path / "r.jsonl", zip(TEXTS, labels, strict=True))
    losses = []
    for class_weight in ("balanced", {"x": 32 / 48, "y": 32 / 16}):
        keras.utils.set_random_seed(1)
        model = make(labels)
        x = {
            "lists": (TEXTS, labels),
            "reader": (read_documents(tmp_path / "r.jsonl"), None),
            "token ids": (model.tokenizer(TEXTS, 24).numpy(), np.array([0] * 24 + [1] * 8)),
        }[source]
        history = model.fit(*x, class_weight=class_weight, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
    assert losses[0] == losses[1]


# Order


@pytest.mark.slow
def test_seed_and_epoch_decide_the_order():
    def fit(one_by_one=False, **options):
        keras.utils.set_random_seed(5)
        model = make(LABELS)
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        for first in range(2) if one_by_one else [0]:
            model.fit(
                TEXTS,
                LABELS,
                batch_size=8,
                initial_epoch=first,
                epochs=first + 1 if one_by_one else 2,
                verbose=0,
                **options,
            )
        return model.get_weights()

    whole = fit(seed=7)
    for weights, same in (
        (fit(seed=7, one_by_one=True), True),
        (fit(seed=8), False),
        (fit(), False),
    ):
        equal = all(np.array_equal(x, y) for x, y in zip(weights, whole, strict=True))
        assert equal == same
    # Without a seed it is the global one that decides.
    assert all(np.array_equal(x, y) for x, y in zip(fit(), fit(), strict=True))


@pytest.mark.slow
def test_says_what_it_trains_on(capsys):
    model = make(LABELS)
    model.fit(TEXTS, LABELS, verbose=2)
    line, *_ = capsys.readouterr().out.splitlines()
    assert line.startswith("Training on 32 documents, 352 tokens; 0 longer than 24; ")
    assert line.endswith("% padding in batches of 1 length.")


# Windows


@pytest.mark.parametrize(
    "task",
    ["single_label", *(pytest.param(x, marks=pytest.mark.slow) for x in list(tasks.TASKS)[1:])],
)
def test_logits_of_windows_are_averaged(task):
    labels = {"single_label": LABELS, "multi_label": SEVERAL, "regression": NUMBERS}[task]
    model = make(labels, task=task, long_texts="windows")
    for weight in model.trainable_weights:
        weight.assign_add(keras.random.normal(weight.shape, stddev=0.3, seed=1))
    long = "aaaa bbbb cccc " * 5
    pieces = [long[i : i + 22] for i in (0, 13, 26, 39, 53)]  # 22 letters, at least 5 shared
    texts = ["aaaa", long, "b" * 22, ""]
    outputs = model.predict(texts, verbose=0, batch_size=2)
    assert outputs.shape == (4, model.output_shape[-1])
    windows = model.predict(pieces, verbose=0)
    if task == "single_label":
        logits = np.log(windows)
        expected = np.exp(logits.mean(0)) / np.exp(logits.mean(0)).sum()
    elif task == "multi_label":
        expected = 1 / (1 + np.exp(-np.log(windows / (1 - windows)).mean(0)))
    else:
        expected = windows.mean(0)
    np.testing.assert_allclose(outputs[1], expected, rtol=1e-4)
    # What fits is answered as without windows.
    results = model.classify(texts)
    model.long_texts = "truncate"
    alone = model.predict(texts, verbose=0)
    np.testing.assert_allclose(alone[[0, 2, 3]], outputs[[0, 2, 3]], rtol=1e-4)
    assert [x["windows"] for x in results] == [1, 5, 1, 1]
    assert [x["tokens"] for x in results] == [6, 77, 24, 2]
    assert not any(x["truncated"] for x in results)
    assert model.classify(texts)[1]["truncated"]


@pytest.mark.slow
def test_windows_are_trained_and_documents_validated(tmp_path):
    texts = [x * (1 + i % 3) for i, x in enumerate(TEXTS)]  # some fit, some take several windows
    keras.utils.set_random_seed(0)
    model = make(LABELS, long_texts="windows")
    history = model.fit(
        texts, LABELS, validation_data=(texts, LABELS), epochs=2, batch_size=8, verbose=0
    ).history
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    metrics = model.evaluate(texts, LABELS, verbose=0, return_dict=True)
    assert history["val_loss"][-1] == pytest.approx(metrics["loss"], rel=1e-4)
    probabilities = model.predict(texts, verbose=0)
    right = np.array(model.labels)[probabilities.argmax(1)] == LABELS
    assert metrics["accuracy"] == pytest.approx(np.mean(right))
    assert model.evaluate(texts, LABELS, verbose=0) == pytest.approx(list(metrics.values()))
    model.save(tmp_path / "model.keras")
    assert LongDocumentClassifier.load(tmp_path / "model.keras").long_texts == "windows"


@pytest.mark.parametrize(
    ("loss", "is_taken"),
    [
        ("binary_crossentropy", True),
        (keras.losses.BinaryFocalCrossentropy(), True),
        ("mse", True),
        (lambda y, y_pred: keras.ops.mean((y - y_pred) ** 2, axis=-1), True),
        ("categorical_crossentropy", False),
        (keras.losses.CategoricalFocalCrossentropy(), False),
        (keras.losses.CategoricalHinge(), False),
        (keras.losses.Dice(), False),
        ("sparse_categorical_crossentropy", False),
        (lambda y, y_pred: keras.ops.max((y - y_pred) ** 2, axis=-1), False),
        (["mse", "mse"], False),
    ],
)
def test_weights_of_labels_need_a_loss_of_each_label(loss, is_taken, untrained, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda *args, **kwargs: None)
    untrained.compile("sgd", loss)
    untrained.fit(TEXTS, SEVERAL, verbose=0)  # without weights, any loss will do
    ids = untrained.tokenizer(TEXTS, 24).numpy()
    for x, y in ((TEXTS, SEVERAL), (ids, np.zeros((32, 2), "float32"))):
        if is_taken:
            untrained.fit(x, y, class_weight={"a": 2.0}, verbose=0)
            continue
        words = "needs a loss that is the mean of one for each, such as 'binary_crossentropy'"
        with pytest.raises(ValueError, match=words):
            untrained.fit(x, y, class_weight={"a": 2.0}, verbose=0)


@pytest.fixture(scope="module")
def untrained():
    return make(SEVERAL, task="multi_label")


def test_balanced_weights_hold_some_targets_at_once(untrained, monkeypatch):
    module = importlib.import_module("keras_combiner.models.document_model")
    monkeypatch.setattr(module, "_TARGETS", 5)
    untrained.compile("sgd", "binary_crossentropy")
    batches = list(untrained._targets(Documents(TEXTS, SEVERAL)))
    assert [len(x) for x in batches] == [5] * 6 + [2]
    few, all_at_once = (
        untrained._class_weights("balanced", lambda targets=targets: targets).values
        for targets in (batches, [np.concatenate(batches)])
    )
    np.testing.assert_array_equal(few, all_at_once)


@pytest.mark.parametrize("value", [np.nan, pytest.param(np.inf, marks=pytest.mark.slow)])
def test_answers_that_are_not_numbers_are_refused(value, tmp_path, capsys):
    model = make(NUMBERS, task="regression")
    # Of one document: the others have answers.
    embeddings = model.backbone.embedding.token_embedding.embeddings
    table = np.array(embeddings)
    (place,) = set(model.tokenizer(["z"], 24).numpy()[0]) - set(
        model.tokenizer([""], 24).numpy()[0]
    )
    table[place] = value
    embeddings.assign(table)
    with pytest.raises(NotFiniteError, match=r"outputs for document 2 are not finite numbers\. "):
        model.classify(["a", "b", "z", "c"])
    assert len(model.classify(["a", "b"])) == 2
    model.save(tmp_path / "model.keras")
    for name in "az":
        (tmp_path / f"{name}.txt").write_text(name)
    names = [str(tmp_path / f"{x}.txt") for x in "az"]
    command = ["predict", "--model", str(tmp_path / "model.keras"), "--json", *names]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "NaN" not in said.out and "Infinity" not in said.out
    assert f"outputs for {names[1]} are not finite numbers" in said.err
