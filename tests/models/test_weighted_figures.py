"""What `Task.measure` makes of weights: figures of scikit-learn, and of documents repeated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from keras_combiner.tasks import MultiLabel, Regression, Reliability, SingleLabel

NAMES = ["a", "b", "c"]
WEIGHTS = np.array([0.5, 2.0, 0.0, 1.25, 3.0, 0.75, 1.0, 0.1])
COUNTS = {"documents", "weight", "reliability"}


def drawn(task, documents=8, seed=3):
    """Targets and outputs, of which some are right."""
    generator = np.random.default_rng(seed)
    if task.name == "regression":
        return generator.normal(size=(2, documents, 1)).astype("float32")
    outputs = generator.uniform(0.02, 0.98, (documents, 3)).astype("float32")
    if task.name == "single_label":
        outputs /= outputs.sum(-1, keepdims=True)
        return generator.integers(0, 3, documents), outputs
    return (generator.uniform(size=(documents, 3)) > 0.5).astype("float32"), outputs


def as_here(figure):
    return None if np.isnan(figure) else pytest.approx(figure)


def test_single_labels_as_scikit_learn():
    targets, outputs = drawn(SingleLabel())
    figures = SingleLabel().measure(targets, outputs, NAMES, WEIGHTS)
    said, weigh = outputs.argmax(-1), {"sample_weight": WEIGHTS}
    assert (figures["documents"], figures["weight"]) == (8, pytest.approx(8.6))
    assert figures["accuracy"] == pytest.approx(metrics.accuracy_score(targets, said, **weigh))
    sums = outputs.sum(-1, dtype="float64", keepdims=True)
    expected = metrics.log_loss(targets, outputs / sums, labels=range(3), **weigh)
    assert figures["loss"] == pytest.approx(expected, rel=1e-5)
    precision, recall, _, _ = metrics.precision_recall_fscore_support(
        targets, said, labels=range(3), zero_division=np.nan, **weigh
    )
    for i, row in enumerate(figures["classes"].values()):
        assert row["documents"] == (targets == i).sum()
        assert row["precision"] == as_here(precision[i])
        assert row["recall"] == as_here(recall[i])
    shares = np.bincount(targets, WEIGHTS) / WEIGHTS.sum()
    assert figures["majority_class"] == NAMES[shares.argmax()]
    assert figures["majority_accuracy"] == pytest.approx(shares.max())


def test_several_labels_as_scikit_learn():
    targets, outputs = drawn(MultiLabel())
    figures = MultiLabel().measure(targets, outputs, NAMES, WEIGHTS)
    said, weigh = outputs > 0.5, {"sample_weight": WEIGHTS}
    assert figures["f1"] == pytest.approx(metrics.f1_score(targets, said, average="micro", **weigh))
    assert figures["exact"] == pytest.approx(metrics.accuracy_score(targets, said, **weigh))
    assert 1 - figures["accuracy"] == pytest.approx(metrics.hamming_loss(targets, said, **weigh))
    losses = [metrics.log_loss(targets[:, i], outputs[:, i], **weigh) for i in range(3)]
    assert figures["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    briers = [metrics.brier_score_loss(targets[:, i], outputs[:, i], **weigh) for i in range(3)]
    assert figures["brier"] == pytest.approx(np.mean(briers), rel=1e-5)
    precision, recall, _, _ = metrics.precision_recall_fscore_support(
        targets, said, zero_division=np.nan, **weigh
    )
    for i, row in enumerate(figures["classes"].values()):
        assert row["documents"] == targets[:, i].sum()
        assert row["precision"] == as_here(precision[i])
        assert row["recall"] == as_here(recall[i])


def test_numbers_as_scikit_learn():
    targets, outputs = drawn(Regression())
    figures = Regression().measure(targets, outputs, [], WEIGHTS)
    for name, function in (
        ("mean_absolute_error", metrics.mean_absolute_error),
        ("loss", metrics.mean_squared_error),
        ("r2", metrics.r2_score),
    ):
        expected = function(targets, outputs, sample_weight=WEIGHTS)
        assert figures[name] == pytest.approx(expected, rel=1e-5)


TASKS = {
    "single_label": SingleLabel(),
    "single_label above a threshold": SingleLabel(threshold=0.5),
    "multi_label": MultiLabel(),
    "multi_label above thresholds": MultiLabel(1, [0.2, 0.9, 0.5]),
    "regression": Regression(),
}


@pytest.mark.parametrize("task", TASKS)
@given(
    counts=st.lists(st.integers(0, 3), min_size=8, max_size=8).filter(any), seed=st.integers(0, 9)
)
def test_a_weight_is_as_good_as_so_many_documents(task, counts, seed):
    task = TASKS[task]
    targets, outputs = drawn(task, seed=seed)
    weighted = task.measure(targets, outputs, NAMES, np.array(counts, "float64"))
    repeated = task.measure(np.repeat(targets, counts, 0), np.repeat(outputs, counts, 0), NAMES)
    assert weighted["weight"] == repeated["documents"] == sum(counts)
    assert weighted["documents"] == 8
    assert weighted.keys() - {"weight"} == repeated.keys()
    for name in repeated.keys() - COUNTS - {"classes", "majority_class", "r2"}:
        assert weighted[name] == pytest.approx(repeated[name]), name
    if "r2" in repeated and sum(map(bool, counts)) > 1:
        assert weighted["r2"] == pytest.approx(repeated["r2"], rel=1e-4)
    for name, row in repeated.get("classes", {}).items():
        for figure in ("precision", "recall"):
            assert weighted["classes"][name][figure] == pytest.approx(row[figure]), figure
    lines = task.table(weighted).splitlines()
    assert lines[1].split() == ["total", "weight", str(sum(counts))]
    assert "total weight" not in task.table(repeated)


def test_reliability_by_hand():
    table = Reliability.of([0.9, 0.8, 0.3], [True, False, False], bins=2, weights=[3, 1, 0])
    assert (table.counts, table.weights) == ((1, 2), (0.0, 4.0))
    assert table.confidences == (None, pytest.approx(0.875))
    assert table.shares == (None, 0.75)
    assert table.error == pytest.approx(0.125)
