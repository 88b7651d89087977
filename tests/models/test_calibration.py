"""Temperatures and thresholds, from the numbers alone to a model that has them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner import LongDocumentClassifier, tasks
from keras_combiner.batches.documents import Documents
from keras_combiner.models import TokenEvidence, calibration
from keras_combiner.models.calibration import features_of
from keras_combiner.models.temperature import LEAST, MOST, fit_temperature
from keras_combiner.tasks import MultiLabel, Reliability, SingleLabel, thresholds

TASKS = {"single_label": SingleLabel(), "multi_label": MultiLabel()}
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
SEEDS = st.integers(0, 2**31)


# Numbers


def log_loss(task, logits, one_hot):
    """Mean log loss, without a least probability."""
    totals = np.logaddexp.reduce(logits, -1, keepdims=True)
    if task.name == "multi_label":
        totals = np.logaddexp(0.0, logits)
    losses = totals * (one_hot if task.name == "single_label" else 1) - logits * one_hot
    return (losses.sum(-1) if task.name == "single_label" else losses).mean()


def calibrated(task, logits, targets, names, precision=None):
    """What `calibrate` makes of a model with these logits."""
    found = calibration.fitted_temperature(task, logits, targets, names)
    outputs = [
        task.activated(logits * task.temperature / x).astype("float32")
        for x in (task.temperature, found[0])
    ]
    return calibration.calibrated(task, found, outputs, targets, names, precision)


def drawn(task, seed, documents=400, units=4, temperature=1.0):
    """Logits, and targets that are as often so as the logits over `temperature` say."""
    rng = np.random.default_rng(seed)
    logits = 2.0 * rng.normal(size=(documents, units))
    probabilities = TASKS[task].activated(logits / temperature)
    if task == "multi_label":
        return logits, (rng.random(logits.shape) < probabilities).astype("float32")
    steps = probabilities.cumsum(-1) < rng.random((documents, 1))
    return logits, np.minimum(steps.sum(-1), units - 1)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(task, temperature):
    logits, targets = drawn(task, 0, documents=20_000, temperature=temperature)
    task = TASKS[task]
    one_hot = task.one_hot(targets, "abcd")
    assert fit_temperature(logits, one_hot, task.activated) == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("task", TASKS)
@given(seed=SEEDS, temperature=st.floats(0.2, 8.0))
def test_no_other_temperature_has_a_smaller_loss(task, seed, temperature):
    task_of, (logits, targets) = TASKS[task], drawn(task, seed, 50, temperature=temperature)
    one_hot = task_of.one_hot(targets, "abcd")
    found = fit_temperature(logits, one_hot, task_of.activated)
    loss = log_loss(task_of, logits / found, one_hot)
    for other in [1.0, found * 0.99, found * 1.01, LEAST, MOST]:
        if LEAST <= other <= MOST:
            assert loss <= log_loss(task_of, logits / other, one_hot) + 1e-12
    if task == "single_label":
        assert loss == pytest.approx(-np.log(task_of.activated(logits / found)[one_hot > 0]).mean())


@given(seed=SEEDS, documents=st.integers(2, 12), steps=st.integers(2, 6))
def test_thresholds_are_the_best_that_there_are(seed, documents, steps):
    rng = np.random.default_rng(seed)
    probabilities = (rng.integers(0, steps + 1, documents) / steps).astype("float32")  # with ties
    truth = rng.random(documents) < 0.5
    every = np.linspace(0, 1, 10 * steps + 1)[1:-1].astype("float32")
    said = probabilities > every[:, None]
    given_, right = said.sum(-1), (said & truth).sum(-1)
    found = thresholds.best_f1(probabilities, truth)
    reaching = thresholds.least_for_precision(probabilities, truth, 0.7)
    if truth.all() or not truth.any() or not probabilities.any():
        assert found is None and reaching is None
        return

    def counts(threshold):
        return (probabilities > threshold).sum(), (truth & (probabilities > threshold)).sum()

    assert 0 < found[0] < 1 and found[0] == np.float32(found[0])
    answers, hits = counts(found[0])
    assert found[1] == 2 * hits / (answers + truth.sum())
    assert found[1] >= (2 * right / (given_ + truth.sum())).max()
    answers, hits = counts(reaching[0])
    precisions = right[given_ > 0] / given_[given_ > 0]
    assert reaching[1] == hits / answers >= min(0.7, precisions.max())
    assert answers == given_[given_ > 0][precisions >= min(0.7, precisions.max())].max()


def test_calibration_error_by_hand():
    # Edges belong to the bin below them; 0 to the first.
    table = Reliability.of([0.0, 0.1, 0.2, 0.55, 0.6, 1.0], [0, 0, 1, 1, 0, 1], bins=5)
    assert table.counts == (3, 0, 2, 0, 1)
    assert table.shares == (pytest.approx(1 / 3), None, 0.5, None, 1.0)
    assert table.confidences == (pytest.approx(0.1), None, pytest.approx(0.575), None, 1.0)
    assert table.error == pytest.approx((3 * (1 / 3 - 0.1) + 2 * 0.075 + 0) / 6)
    outputs, targets = np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0])
    figures = SingleLabel().measure(targets, outputs, ["a", "b"])
    assert figures["ece"] == pytest.approx((0.1 + 0.6) / 2)
    assert figures["brier"] == pytest.approx((0.02 + 0.72) / 2)
    figures = MultiLabel().measure(np.eye(2)[targets], outputs, ["a", "b"])
    assert figures["ece"] == pytest.approx((0.1 + 0.1 + 0.6 + 0.6) / 4)
    assert figures["brier"] == pytest.approx((0.01 + 0.01 + 0.36 + 0.36) / 4)
    assert "calibration error     0.3500" in MultiLabel().table(figures)


@pytest.mark.parametrize("task", TASKS)
def test_what_cannot_be_fitted_is_said_and_left(task):
    names, task = ["a", "b", "c"], TASKS[task]
    logits = np.tile([[4.0, -4.0, -4.0], [-4.0, 4.0, -4.0]], (10, 1))
    right = np.array([0, 1] * 10)
    targets = right if task.name == "single_label" else np.eye(3)[right]
    new, report = calibrated(task, logits, targets, names, precision=0.9)
    assert new.temperature == 1
    assert "Note: the temperature stays: so few answers are wrong" in str(report)
    if task.name == "single_label":
        assert new.threshold is None and report.thresholds is None
        assert "no threshold: no document is given a wrong label" in str(report)
    else:
        assert report.thresholds["c"] == 0.5
        assert "threshold 0.5 for what no document has, or every one: c" in str(report)
    wrong = np.roll(targets, 1, axis=0)
    new, report = calibrated(task, logits, wrong, names)
    assert new.temperature == MOST and "next to nothing" in str(report)
    with pytest.raises(ValueError, match=r"at least 10 documents.* not trained on.* Received: 9\."):
        calibrated(task, logits[:9], targets[:9], names)
    with pytest.raises(ValueError, match="outputs are not finite"):
        calibrated(task, logits * np.nan, targets, names)


def test_precision_that_is_not_reached_is_said():
    logits = np.log([[0.9, 0.1], [0.8, 0.2]] * 10)
    targets = np.array([0, 1] + [1, 1, 0, 0] * 4 + [0, 1])
    task, report = calibrated(SingleLabel(), logits, targets, ["a", "b"], 0.95)
    assert "no threshold reaches 0.950: the best one" in str(report)
    assert f"Threshold: {task.threshold:.3f}" in str(report)
    assert 0 < report.after["coverage"] <= 1 and task.threshold == report.thresholds["a"]
    truth = np.eye(2)[targets]
    _, report = calibrated(MultiLabel(), logits, truth, ["a", "b"], 0.95)
    assert "no threshold reaches a precision of 0.950, and the best one is taken: a (" in str(
        report
    )


# Tasks


def test_tasks_are_what_their_configs_say():
    for task in (SingleLabel(1.5, 0.75), MultiLabel(2.0, [0.25, 0.5])):
        assert task.is_calibrated and not task.uncalibrated().is_calibrated
        assert tasks.get(task.get_config()).get_config() == task.get_config()
    assert tasks.get("multi_label").get_config() == {"name": "multi_label"}  # as in older files
    with pytest.raises(ValueError, match=r"a threshold for each of 3 labels\. Received: 2"):
        MultiLabel(thresholds=[0.25, 0.5]).check_names(["a", "b", "c"])


def test_thresholds_decide():
    outputs, names = np.array([[0.75, 0.25], [0.5, 0.5]], "float32"), ["a", "b"]
    assert [SingleLabel().result(x, names)["label"] for x in outputs] == ["a", "a"]
    unsure = SingleLabel().with_threshold(0.5, names)
    assert [unsure.result(x, names)["label"] for x in outputs] == ["a", None]
    assert unsure.sentence(unsure.result(outputs[1], names)) == "no label (a 0.500, b 0.500)"
    assert unsure.signature(outputs, names)["label"].numpy().tolist() == [b"a", b""]
    figures = unsure.measure(np.array([0, 1]), outputs, names)
    assert (figures["coverage"], figures["answered_accuracy"], figures["accuracy"]) == (0.5, 1, 0.5)
    assert "given a label      0.5000 (above 0.5)\naccuracy of these  1.0000" in unsure.table(
        figures
    )
    none = SingleLabel(threshold=0.9)
    assert "accuracy of these  -" in none.table(none.measure(np.array([0, 1]), outputs, names))

    for threshold, labels in (
        (None, [["a"], []]),
        (0.2, [["a", "b"], ["a", "b"]]),
        ({"b": 0.2}, [["a", "b"], ["b"]]),
        ({"a": 0.8, b"b": 0.3}, [[], ["b"]]),
    ):
        task = MultiLabel().with_threshold(threshold, names)
        assert [task.result(x, names)["labels"] for x in outputs] == labels
        is_label = task.signature(outputs, names)["is_label"].numpy()
        np.testing.assert_array_equal(is_label, task.named(outputs) > 0)
        assert [[x in y for x in names] for y in labels] == is_label.tolist()
    kept = MultiLabel(thresholds=[0.1, 0.9]).with_threshold({"a": 0.3}, names)
    assert kept.thresholds == [float(np.float32(x)) for x in (0.3, 0.9)]


@pytest.mark.parametrize(
    "threshold", [0, 1, 1.5, -0.1, float("nan"), True, "0.5", None, [0.5, 0.5], 1 - 1e-8, 1e-60]
)
def test_thresholds_out_of_range(threshold):
    words = "threshold must be a number between 0 and 1, both excluded. Received: "
    for task, wrong in ((MultiLabel(), {"a": threshold}), (SingleLabel(), threshold or 0)):
        with pytest.raises(ValueError, match=words):
            task.with_threshold(wrong, ["a", "b"])


def test_a_single_label_has_one_threshold():
    with pytest.raises(ValueError, match=r"one threshold: a number .*Received: \{'a': 0.5\}"):
        SingleLabel().with_threshold({"a": 0.5}, ["a", "b"])


# Models


def logits_of(model, texts, labels):
    features, windows, _ = features_of(model, Documents(texts, labels))
    return calibration.logits_of(model, features, windows)


def make(task, **options):
    """A model, texts, and labels that are as often right as half its logits say."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcd "), rng.choice([22, 50]))) for _ in range(80)]
    keras.utils.set_random_seed(0)
    names = {"single_label": ["a", "b", "c"], "multi_label": [["a", "b", "c"]]}[task]
    some = [names[i % len(names)] for i in range(len(texts))]
    model = LongDocumentClassifier.from_texts(texts, some, task=task, **SMALL, **options)
    model.run_eagerly = True  # every length is traced otherwise, which takes most of the time
    for weight in model.trainable_weights:
        weight.assign_add(keras.random.normal(weight.shape, stddev=0.5, seed=1))
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


@pytest.mark.parametrize("name", ["single", "multi"])
def test_every_road_has_the_temperature(name, request, tmp_path):
    model, texts, labels = request.getfixturevalue(name)
    before = model.predict(texts, verbose=0)
    logits = logits_of(model, texts, labels)
    _, _, targets = features_of(model, Documents(texts, labels))
    np.testing.assert_allclose(model.task.activated(logits), before, atol=1e-5)
    report = model.calibrate(texts, labels)
    assert report.documents == 80 and model.task.temperature == report.temperature > 1.1
    assert report.after["nll"] < report.before["nll"]
    after = model.predict(texts, verbose=0)
    np.testing.assert_array_equal(after.argmax(-1), before.argmax(-1))
    np.testing.assert_allclose(after, model.task.activated(logits / report.temperature), atol=1e-5)
    assert_is_measured(model, report, texts, labels, targets)
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


def assert_is_measured(model, report, texts, labels, targets):
    """What it reports is what is measured afterwards."""
    figures = model.task.measure(targets, model.predict(texts, verbose=0), model.labels)
    for figure, value in report.after.items():
        if figure not in ("nll", "reliability"):
            assert figures[figure] == pytest.approx(value, abs=1e-4)
    metrics = model.evaluate(texts, labels, verbose=0, return_dict=True)
    assert metrics["loss"] == pytest.approx(report.after["nll"], rel=1e-3)


@pytest.mark.parametrize("task", TASKS)
def test_windows_that_are_very_sure_are_calibrated_as_they_are_served(task):
    model, texts, _ = make(task, long_texts="windows")
    # One window of a document says so much that its probability is 0 or 1 in float32.
    kernel = model.get_layer("probabilities").kernel
    kernel.assign(1000 * kernel)
    rng = np.random.default_rng(1)
    labels = [str(x) for x in rng.choice(list("abc"), 80)]
    labels = labels if task == "single_label" else [[x] for x in labels]
    report = model.calibrate(texts, labels, precision=0.6)
    assert max(x for x in model.predict(texts, verbose=0).ravel()) > 0.999
    _, _, targets = features_of(model, Documents(texts, labels))
    assert_is_measured(model, report, texts, labels, targets)


def test_answers_of_others_are_probabilities_while_it_is_calibrated(single, monkeypatch):
    model, texts, labels = single
    head, seen = model.get_layer("probabilities"), []
    call = head.call

    def watched(*args, **kwargs):
        seen.append(head.activation)
        return call(*args, **kwargs)

    monkeypatch.setattr(head, "call", watched)
    model.calibrate(texts, labels)
    assert set(seen) == {keras.activations.softmax}


def test_a_wished_precision_is_kept_and_can_be_overridden(single):
    model, texts, labels = single
    report = model.calibrate(texts, labels, precision=0.8)
    assert report.after["answered_accuracy"] >= 0.8 > report.after["accuracy"]
    answers = model.classify(texts)
    given = [(x["label"], y) for x, y in zip(answers, labels, strict=True) if x["label"]]
    assert len(given) == round(80 * report.after["coverage"]) < 80
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
    model.calibrate(texts, labels)
    assert model.task.is_calibrated
    with pytest.raises(ValueError, match="Every text needs a label"):
        model.fit(texts, labels[:3], verbose=0)
    ids, targets = model.tokenizer(texts, 24).numpy(), np.zeros((80, 3), "float32")
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
    ids, targets = model.tokenizer(texts, 24).numpy(), np.zeros((80, 3), "float32")
    model.compile("sgd", "binary_crossentropy", run_eagerly=True)
    model.optimizer.build(model.trainable_variables)  # files hold its state
    model.save_weights(tmp_path / "model.weights.h5")
    for change in (
        lambda model: model.train_on_batch(ids[:4], targets[:4]),
        lambda model: model.set_weights([2 * x for x in model.get_weights()]),
        lambda model: model.load_weights(tmp_path / "model.weights.h5"),
    ):
        model.calibrate(texts, labels)
        model.save(tmp_path / "model.keras")
        for calibrated in (model, LongDocumentClassifier.load(tmp_path / "model.keras")):
            assert calibrated.task.is_calibrated
            with pytest.warns(UserWarning, match="the calibration of this model void"):
                change(calibrated)
            assert not calibrated.task.is_calibrated
            change(calibrated)  # without a warning
    model.calibrate(texts, labels)
    with pytest.raises(ValueError, match="Expected token ids"):
        model.train_on_batch(ids - 9, targets)
    assert model.task.is_calibrated


def test_a_copy_is_calibrated_for_the_weights_that_it_gets(multi, tmp_path):
    model, texts, labels = multi
    model.calibrate(texts, labels)
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
    model.calibrate(texts, labels)
    with pytest.raises(ValueError, match="unknown label 'z'"):
        model.classify(texts, threshold={"z": 0.5})
    before = model.predict(texts, verbose=0)
    model.get_layer("probabilities").quantize("int8")
    model.predict_function = None  # which still has the layer as it was
    np.testing.assert_allclose(model.predict(texts, verbose=0), before, atol=0.02)
    with pytest.raises(ValueError, match=r"quantized by Keras.*Calibrate the model first"):
        model.calibrate(texts, labels)
