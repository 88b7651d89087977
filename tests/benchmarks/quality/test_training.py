"""Rows of the quality benchmark are fair: of equal size, in equal order, and stopped in time."""

import numpy as np
import pytest

from benchmarks.quality import training
from benchmarks.quality.data import order
from benchmarks.quality.rows import (
    DEFAULT,
    FULL,
    MAJORITY,
    MODELS,
    ROOT_OPERATOR,
    TRUNCATED,
    WITHOUT_ATTENTION,
)
from tests.benchmarks.clock import Clock
from tests.benchmarks.quality.small import SETTINGS


class Model:
    """Remembers what it is trained on, and at what rates."""

    def __init__(self):
        self.optimizer = self
        self.learning_rate = None
        self.rates, self.batches = [], []

    def train_on_batch(self, token_ids, labels):
        self.rates.append(self.learning_rate)
        self.batches.append(token_ids[:, 0].tolist())


def fit(steps, limit):
    model, ids = Model(), np.arange(6)[:, np.newaxis]
    places = order(6, steps, 2, seed=1)
    settings = {"learning_rate": 1.0, "limit_seconds": limit}
    return model, places, training.fit(model, ids, np.zeros(6), places, settings, Clock())


def test_training_ends_with_the_steps():
    model, places, (_, steps) = fit(steps=6, limit=1000)
    assert steps == 6
    assert model.batches == places.tolist()
    assert model.rates[0] == 0
    assert model.rates[1:] == sorted(model.rates[1:], reverse=True)


def test_training_ends_with_the_time():
    model, _, (seconds, steps) = fit(steps=100, limit=10)
    assert steps == len(model.batches) < 12
    assert seconds >= 10
    assert model.rates[-1] < 0.1, "the rate has come down"


QUICK_ROWS = (DEFAULT, TRUNCATED)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "row", [x if x in QUICK_ROWS else pytest.param(x, marks=pytest.mark.slow) for x in MODELS]
)
def test_every_row_learns_and_all_but_one_read_to_the_end(row):
    model = training.classifier(row, "listops", SETTINGS, 20, 10)
    length = training.length_of(row, SETTINGS, "listops")
    assert length == (16 if row == TRUNCATED else 64)
    token_ids = np.random.default_rng(0).integers(1, 20, size=(2, length))
    before = model(token_ids).numpy()
    changed = token_ids.copy()
    changed[:, -1] = 1 + changed[:, -1] % 19
    assert np.abs(model(changed).numpy() - before).max() > 1e-6
    training.compiled(model).optimizer.learning_rate = 0.1
    model.train_on_batch(token_ids, np.array([3, 4]))
    assert np.abs(model(token_ids).numpy() - before).max() > 1e-3


def test_rows_have_equal_sizes():
    def size(row):
        return training.classifier(row, "listops", SETTINGS, 20, 10).count_params()

    full = size(FULL)
    assert {size(row) for row in MODELS if row != WITHOUT_ATTENTION} == {full}
    assert size(WITHOUT_ATTENTION) < full


@pytest.mark.usefixtures("eager")
def test_a_whole_run_on_listops(tmp_path):
    for row in (MAJORITY, ROOT_OPERATOR, DEFAULT):
        figures = training.train("listops", row, 0, SETTINGS, tmp_path)
        assert 0 <= figures["accuracy"] <= 1
        assert np.isfinite(figures["loss"])
        assert (row == DEFAULT) == ("share" in figures)
