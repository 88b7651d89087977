"""The ablation's words follow its figures, and its divergence is what it says."""

import numpy as np
import pytest

from benchmarks import ablation
from keras_combiner.factorizations import Fixed
from tests import reference

SETTINGS = {
    **ablation.SETTINGS,
    "min_length": 5,
    "max_length": 20,
    "train_steps": 2,
    "batch_size": 4,
    "validation_examples": 4,
    "test_examples": 6,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 8,
    "block_size": 4,
    "divergence_examples": 2,
}


def runs(accuracies):
    """Figures of all rows; `accuracies` of ("fixed", "max") by seed, 0.5 elsewhere."""
    divergence = {" ".join(row): 0.25 for row in ablation.ROWS}
    return {
        (row, seed): {
            "test": {"accuracy": accuracy if row == ("fixed", "max") else 0.5, "loss": 1.0},
            "seconds": 10.0,
            "divergence": divergence,
        }
        for row in ablation.ROWS
        for seed, accuracy in enumerate(accuracies)
    }


@pytest.mark.parametrize(
    ("accuracies", "verdict"),
    [
        ((0.6, 0.7, 0.8), "+0.200 on the average, higher in 3 of 3 seeds; the claim holds"),
        ((0.4, 0.3, 0.5), "-0.100 on the average, higher in 0 of 3 seeds; the claim does not hold"),
        ((0.6, 0.4, 0.5), "+0.000 on the average, higher in 1 of 3 seeds; the claim is not"),
    ],
)
def test_the_words_follow_the_figures(accuracies, verdict):
    report = ablation.summarize(runs(accuracies), SETTINGS)
    report["trivial"] = {"majority": 0.1, "root operator": 0.2}
    report["random"] = {"fixed max": 0.75}
    text = ablation.markdown(report)
    (sentence,) = [x for x in text.splitlines() if x.startswith("- `fixed`, `max`")]
    assert verdict in sentence
    assert len([x for x in text.splitlines() if x.startswith("| ")]) == len(ablation.ROWS) + 2


def test_divergence_is_zero_where_all_is_direct_and_not_elsewhere():
    query, key, _ = reference.heads((2, 2, 12, 4))
    masks = np.arange(12) < np.array([[12], [9]])
    heads = [(query, key)]
    assert ablation.mean_divergence(Fixed(12), "max", heads, masks) == pytest.approx(0, abs=1e-6)
    assert ablation.mean_divergence(Fixed(4), "max", heads, masks) > 0.01


def test_learned_summaries_are_measured_with_what_their_model_learned():
    row = ("fixed", "deepset")
    assert ablation.has_weights(row)
    figures = ablation.train(row, 0, SETTINGS)
    assert figures["divergence"]["fixed deepset"] > 0


def test_rows_are_of_equal_size_and_measured():
    jobs = {(row, 0): ablation.train(row, 0, SETTINGS) for row in ablation.ROWS[:2]}
    full, sparse = jobs.values()
    assert full["parameters"] == sparse["parameters"]
    parameter_free = [row for row in ablation.ROWS[1:] if not ablation.has_weights(row)]
    assert set(full["divergence"]) == {" ".join(row) for row in parameter_free}
    assert set(sparse["divergence"]) == {"fixed none"}
    trivial = ablation.trivial_accuracies(SETTINGS)
    assert 0 <= trivial["majority"] <= 1
