"""Models that are calibrated: on every road, until other weights make it void."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner import LongDocumentClassifier
from keras_combiner.batches.documents import Documents
from keras_combiner.models import TokenEvidence, calibration
from keras_combiner.models.calibration import features_of
from tests.eagerly import eagerly

SMALL = {
    "sequence_length": 24,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 16,
    "block_size": 8,
    "tokenizer": "bytes",
    "verbose": False,
}
DOCUMENTS = 32
FEW = 10  # as many as it takes to calibrate
# Every length is traced otherwise, which takes most of the time.
pytestmark = pytest.mark.usefixtures("eager")


def logits_of(model, texts, labels):
    features, windows, _ = features_of(model, Documents(texts, labels))
    return calibration.logits_of(model, features, windows)


def make(task, **options):
    """A model, texts, and labels that are as often right as half its logits say."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcd "), rng.choice([22, 50]))) for _ in range(DOCUMENTS)]
    keras.utils.set_random_seed(0)
    names = {"single_label": ["a", "b", "c"], "multi_label": [["a", "b", "c"]]}[task]
    some = [names[i % len(names)] for i in range(len(texts))]
    model = LongDocumentClassifier.from_texts(
        texts, some, task=task, lexical=False, **SMALL, **options
    )
    for weight in model.trainable_weights:
        weight.assign_add(keras.random.normal(weight.shape, stddev=0.5, seed=1))
    with eagerly():
        logits = logits_of(model, texts, some)
    probabilities = model.task.activated(logits / 2)
    if task == "single_label":
        return model, texts, [str(rng.choice(names, p=x)) for x in probabilities]
    is_label = rng.random(probabilities.shape) < probabilities
    return (
        model,
        texts,
        [[x for x, given in zip("abc", row, strict=True) if given] for row in is_label],
    )


@pytest.fixture(scope="module")
def single():
    return make("single_label", long_texts="windows")


@pytest.fixture(scope="module")
def multi():
    return make("multi_label")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["single", "multi"])
def test_every_road_has_the_temperature(name, request, tmp_path):
    model, texts, labels = request.getfixturevalue(name)
    before = model.predict(texts, verbose=0)
    features, windows, targets = features_of(model, Documents(texts, labels))
    logits = calibration.logits_of(model, features, windows)
    np.testing.assert_allclose(model.task.activated(logits), before, atol=1e-5)
    report = model.calibrate(texts, labels)
    assert report.documents == DOCUMENTS and model.task.temperature == report.temperature > 1.1
    assert report.after["nll"] < report.before["nll"]
    after = model.predict(texts, verbose=0)
    np.testing.assert_array_equal(after.argmax(-1), before.argmax(-1))
    np.testing.assert_allclose(after, model.task.activated(logits / report.temperature), atol=1e-5)
    assert_is_measured(model, report, texts, labels, targets, after)
    answers = model.classify(texts[:8])
    if name == "multi":
        assert report.after["f1"] >= report.before["f1"] and set(report.thresholds) == set("abc")
        said = [[x in y["labels"] for x in model.labels] for y in answers]
        np.testing.assert_array_equal(said, model.task.named(after[:8]) > 0)
    # Token weights and bias are the log odds, or the log probability from the mean.
    token_ids = model.tokenizer(texts[:4], 24)
    outputs, weights = TokenEvidence(model)(token_ids)
    outputs = np.array(outputs)
    winner = outputs.argmax(-1)
    bias = model.task.linear(np.array(model.get_layer("probabilities")(np.zeros((1, 16)))))[0]
    expected = model.task.linear(outputs)[np.arange(4), winner] - bias[winner]
    np.testing.assert_allclose(np.array(weights).sum(-1), expected, rtol=1e-3, atol=1e-3)
    # Again, nothing changes.
    assert model.calibrate(texts, labels).temperature == pytest.approx(report.temperature, rel=1e-4)
    np.testing.assert_allclose(model.predict(texts, verbose=0), after, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    assert loaded.task.get_config() == model.task.get_config()
    assert loaded.classify(texts[:8]) == model.classify(texts[:8])


def assert_is_measured(model, report, texts, labels, targets, outputs):
    """What it reports is what is measured afterwards."""
    figures = model.task.measure(targets, outputs, model.labels)
    for figure, value in report.after.items():
        if figure not in ("nll", "reliability"):
            assert figures[figure] == pytest.approx(value, abs=1e-4)
    metrics = model.evaluate(texts, labels, verbose=0, return_dict=True)
    assert metrics["loss"] == pytest.approx(report.after["nll"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_windows_that_are_very_sure_are_calibrated_as_they_are_served(task):
    model, texts, _ = make(task, long_texts="windows")
    # One window of a document says so much that its probability is 0 or 1 in float32.
    kernel = model.get_layer("probabilities").kernel
    kernel.assign(1000 * kernel)
    rng = np.random.default_rng(1)
    labels = [str(x) for x in rng.choice(list("abc"), DOCUMENTS)]
    labels = labels if task == "single_label" else [[x] for x in labels]
    report = model.calibrate(texts, labels, precision=0.6)
    outputs = model.predict(texts, verbose=0)
    assert outputs.max() > 0.999
    _, _, targets = features_of(model, Documents(texts, labels))
    assert_is_measured(model, report, texts, labels, targets, outputs)


def test_answers_of_others_are_probabilities_while_it_is_calibrated(single, monkeypatch):
    model, texts, labels = single
    head, seen = model.get_layer("probabilities"), []
    call = head.call

    def watched(*args, **kwargs):
        seen.append(head.activation)
        return call(*args, **kwargs)

    monkeypatch.setattr(head, "call", watched)
    model.calibrate(texts[:FEW], labels[:FEW])
    assert set(seen) == {keras.activations.softmax}


def test_a_wished_precision_is_kept_and_can_be_overridden(single):
    model, texts, labels = single
    report = model.calibrate(texts, labels, precision=0.8)
    assert report.after["answered_accuracy"] >= 0.8 > report.after["accuracy"]
    answers = model.classify(texts)
    given = [(x["label"], y) for x, y in zip(answers, labels, strict=True) if x["label"]]
    assert len(given) == round(DOCUMENTS * report.after["coverage"]) < DOCUMENTS
    assert np.mean([x == y for x, y in given]) == pytest.approx(report.after["answered_accuracy"])
    threshold = report.thresholds["a"]
    for answer in answers:
        assert (answer["label"] is None) == (max(answer["probabilities"].values()) <= threshold)
    assert all(x["label"] for x in model.classify(texts, threshold=1e-6))
    assert not any(x["label"] for x in model.classify(texts[:4], threshold=0.9999999))
    assert list(answers[0]) == list(model.classify(texts[:1], threshold=0.99)[0])


def test_training_makes_it_void(multi, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda *args, **kwargs: None)
    model, texts, labels = multi
    model.calibrate(texts[:FEW], labels[:FEW])
    assert model.task.is_calibrated
    with pytest.raises(ValueError, match="Every text needs a label"):
        model.fit(texts, labels[:3], verbose=0)
    ids, targets = model.tokenizer(texts, 24).numpy(), np.zeros((DOCUMENTS, 3), "float32")
    strings = tf.data.Dataset.from_tensor_slices((texts, targets)).batch(4)
    endless = tf.data.Dataset.from_tensor_slices((ids, targets)).batch(4).repeat()
    for refused, options in (
        ((strings,), {}),
        ((endless,), {}),
        ((ids, targets), {"validation_split": 2.0}),
        ((ids, targets), {"class_weight": {"z": 2.0}}),
        ((ids, targets), {"callbacks": keras.callbacks.SwapEMAWeights()}),
        ((texts, labels), {"callbacks": keras.callbacks.SwapEMAWeights()}),
        ((texts, labels), {"gradient_accumulation_steps": 99}),
        (([], []), {"validation_data": (texts, labels)}),
    ):
        with pytest.raises((TypeError, ValueError)):
            model.fit(*refused, verbose=0, **options)
    assert model.task.is_calibrated
    with pytest.warns(UserWarning, match="Training makes the calibration of this model void"):
        model.fit(texts, labels, verbose=0)
    assert not model.task.is_calibrated
    model.fit(texts, labels, verbose=0)  # without a warning


def test_other_weights_make_it_void(multi, tmp_path):
    model, texts, labels = multi
    ids, targets = model.tokenizer(texts[:4], 24).numpy(), np.zeros((4, 3), "float32")
    model.compile("sgd", "binary_crossentropy")
    model.optimizer.build(model.trainable_variables)  # files hold its state
    model.save_weights(tmp_path / "model.weights.h5")
    for change in (
        lambda model: model.train_on_batch(ids, targets),
        lambda model: model.set_weights([2 * x for x in model.get_weights()]),
        lambda model: model.load_weights(tmp_path / "model.weights.h5"),
    ):
        model.calibrate(texts[:FEW], labels[:FEW])
        model.save(tmp_path / "model.keras")
        for calibrated in (model, LongDocumentClassifier.load(tmp_path / "model.keras")):
            assert calibrated.task.is_calibrated
            with pytest.warns(UserWarning, match="the calibration of this model void"):
                change(calibrated)
            assert not calibrated.task.is_calibrated
            change(calibrated)  # without a warning
    model.calibrate(texts[:FEW], labels[:FEW])
    with pytest.raises(ValueError, match="Expected token ids"):
        model.train_on_batch(ids - 9, targets)
    assert model.task.is_calibrated


def test_a_copy_is_calibrated_for_the_weights_that_it_gets(multi, tmp_path):
    model, texts, labels = multi
    model.calibrate(texts[:FEW], labels[:FEW])
    model.save_weights(tmp_path / "model.weights.h5")
    for give in (
        lambda copy: copy.set_weights(model.get_weights()),
        lambda copy: copy.load_weights(tmp_path / "model.weights.h5"),
    ):
        copy = LongDocumentClassifier.from_config(model.get_config())
        give(copy)  # without a warning
        assert copy.task.get_config() == model.task.get_config()
        expected = model.predict(texts[:4], verbose=0)
        np.testing.assert_allclose(copy.predict(texts[:4], verbose=0), expected, atol=1e-5)
        with pytest.warns(UserWarning, match="Other weights make the calibration"):
            give(copy)


def test_lora_is_scaled_too(single):
    model, _, _ = single
    head, x = model.get_layer("probabilities"), np.random.default_rng(0).normal(size=(9, 16))
    head.enable_lora(1)
    head.lora_kernel_b.assign(keras.random.normal(head.lora_kernel_b.shape, seed=2))
    before = model.task.linear(np.array(head(x)))
    model._scale_logits(0.5)
    np.testing.assert_allclose(model.task.linear(np.array(head(x))), before / 2, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((["a"] * 9, ["a"] * 9), {}, "at least 10 documents"),
        (([], []), {}, "at least 10 documents.* Received: 0"),
        ((["a"] * 10, ["z"] * 10), {}, "nknown label 'z'"),
        ((["a"] * 10, ["a"] * 9), {}, "needs a label"),
        ((np.zeros((10, 24), "int32"), ["a"] * 10), {}, "takes texts, or a reader. Received: nd"),
        ((["a"] * 10, ["a"] * 10), {"precision": 1.0}, "between 0 and 1, both excluded.*: 1.0"),
    ],
)
def test_what_cannot_be_calibrated(arguments, options, words, single):
    model, _, _ = single
    weights = model.get_weights()
    with pytest.raises(ValueError, match=words):
        model.calibrate(*arguments, **options)
    assert all(map(np.array_equal, weights, model.get_weights()))


def test_neither_regressions_nor_integers(multi):
    texts, values = ["a", "b"] * 5, [1.0, 2.0] * 5
    model = LongDocumentClassifier.from_texts(texts, values, task="regression", **SMALL)
    with pytest.raises(ValueError, match="Calibration is for probabilities; the task 'regression'"):
        model.calibrate(texts, values)
    with pytest.raises(ValueError, match="`threshold` is for labels; the task 'regression'"):
        model.classify(texts, threshold=0.5)
    model, texts, labels = multi
    model.calibrate(texts[:FEW], labels[:FEW])
    with pytest.raises(ValueError, match="unknown label 'z'"):
        model.classify(texts, threshold={"z": 0.5})
    before = model.predict(texts[:FEW], verbose=0)
    model.get_layer("probabilities").quantize("int8")
    model.predict_function = None  # which still has the layer as it was
    np.testing.assert_allclose(model.predict(texts[:FEW], verbose=0), before, atol=0.02)
    with pytest.raises(ValueError, match=r"quantized by Keras.*Calibrate the model first"):
        model.calibrate(texts[:FEW], labels[:FEW])
