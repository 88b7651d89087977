"""Temperatures and thresholds of numbers alone, and of the tasks that keep them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner import tasks
from keras_combiner.models import calibration
from keras_combiner.models.temperature import LEAST, MOST, fit_temperature
from keras_combiner.tasks import MultiLabel, Reliability, SingleLabel, thresholds

TASKS = {"single_label": SingleLabel(), "multi_label": MultiLabel()}
SEEDS = st.integers(0, 2**31)


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
        assert "threshold 0.5 for labels of no document, or of all: c" in str(report)
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
