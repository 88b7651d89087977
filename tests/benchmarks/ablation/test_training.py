"""Rows of the ablation are of equal size, and measured alike."""

import pytest

from benchmarks.ablation.rows import ROWS
from benchmarks.ablation.rows import SETTINGS as PUBLISHED
from benchmarks.ablation.training import train, trivial_accuracies

SETTINGS = {
    **PUBLISHED,
    "min_length": 5,
    "max_length": 20,
    "train_steps": 2,
    "batch_size": 4,
    "validation_examples": 4,
    "test_examples": 6,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 8,
    "block_size": 4,
    "divergence_examples": 2,
}


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_learned_summaries_are_measured_with_what_their_model_learned():
    figures = train("fixed", "deepset", 0, SETTINGS)
    assert figures["divergence"]["deepset"] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_rows_are_of_equal_size_and_measured():
    sparse, combiner = (train(*row, 0, SETTINGS) for row in ROWS[:2])
    assert sparse["parameters"] == combiner["parameters"]
    assert set(sparse["divergence"]) == set(combiner["divergence"])
    assert set(sparse["divergence"]) == {"none", "max", "mean", "variational"}
    trivial = trivial_accuracies(SETTINGS)
    assert 0 <= trivial["majority"] <= 1
