"""Rows of the recall benchmark are of equal size, and their models of all lengths are one."""

import keras
import numpy as np
import pytest

from benchmarks.recall import training
from benchmarks.recall.rows import (
    BIDIRECTIONAL,
    CAUSAL,
    DIRECTIONS,
    FULL,
    QUESTIONS,
    WINDOW,
    quick,
    rows_of,
)
from benchmarks.recall.rows import SETTINGS as PUBLISHED
from tests.benchmarks.clock import Clock
from tests.benchmarks.recall.small import LONG, SETTINGS, SHORT

QUICK_ROWS = (FULL, WINDOW, "fixed, 8 opened by 16")


def trained(model, data, steps=1):
    """The model after some steps at a high rate."""
    training.compiled(model, keras.optimizers.AdamW(0.0))
    for _ in range(steps):
        training.fit(model, data, len(data[0]), [0.05])
    return model


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("direction", "row"),
    [
        pytest.param(direction, row, marks=() if row in QUICK_ROWS else pytest.mark.slow)
        for direction in DIRECTIONS
        for row in rows_of(direction)
    ],
)
def test_every_row_but_the_window_sees_the_pairs_and_no_causal_one_the_future(row, direction):
    model = training.Transformer(row, direction, SETTINGS).of_length(LONG["length"])
    token_ids, _ = training.sequences(2, LONG, SETTINGS)
    before = model(token_ids).numpy()
    assert before.shape == (2, LONG["length"], SETTINGS["num_values"])
    changed = token_ids.copy()
    changed[:, 1] = token_ids[:, 3]  # another value, or the same one
    changed[:, 3] = token_ids[:, 1]
    differences = np.abs(model(changed).numpy() - before).max(axis=(0, 2))
    assert (differences[-8:].max() > 1e-7) == (row != WINDOW)
    changed = token_ids.copy()
    changed[:, 40] = 1 + changed[:, 40] % 16
    differences = np.abs(model(changed).numpy() - before).max(axis=(0, 2))
    assert (differences[:40].max() > 1e-7) == (direction == BIDIRECTIONAL)


def test_rows_have_equal_sizes():
    def size(row):
        model = training.Transformer(row, BIDIRECTIONAL, SETTINGS).of_length(LONG["length"])
        return model.count_params()

    assert {size(row) for row in QUICK_ROWS} == {size(FULL)}


@pytest.mark.usefixtures("eager")
def test_models_of_all_lengths_share_what_they_learn():
    transformer = training.Transformer("fixed, gaussian", BIDIRECTIONAL, SETTINGS)
    short, long = (transformer.of_length(stage["length"]) for stage in (SHORT, LONG))
    token_ids, _ = training.sequences(2, LONG, SETTINGS)
    before = long(token_ids).numpy()
    trained(short, training.sequences(4, SHORT, SETTINGS))
    assert np.abs(long(token_ids).numpy() - before).max() > 1e-3


def test_places_are_turns_of_the_place_before():
    waves = training.positions(5, 4, amplitude=2.0)
    assert waves.shape == (1, 5, 4)
    np.testing.assert_allclose(waves[0, 0], [0, 0, 2, 2])
    pairs = waves[0, :, :2] + 1j * waves[0, :, 2:]
    turns = pairs[1:] / pairs[:-1]
    np.testing.assert_allclose(turns, np.broadcast_to(turns[0], turns.shape), atol=1e-6)
    np.testing.assert_array_equal(training.positions(3, 4, amplitude=2.0), waves[:, :3])


def test_keys_of_pairs_are_asked_as_well():
    token_ids, answers = training.sequences(3, SHORT, SETTINGS)
    asked = training.with_pairs_asked(token_ids, answers, SHORT, SETTINGS)
    np.testing.assert_array_equal(asked[:, 8:], answers[:, 8:])
    np.testing.assert_array_equal(asked[:, 1:8:2], -1)
    for ids, some in zip(token_ids, asked, strict=True):
        pairs = dict(zip(ids[0:8:2], some[0:8:2], strict=True))
        found = {ids[i]: some[i] for i in range(8, len(ids)) if some[i] >= 0}
        assert found == pairs, "queries ask for the same values"


class Model:
    """Remembers what it is trained on, and at what rates; answers as it is told to."""

    def __init__(self, logits=None):
        self.optimizer, self.logits = self, logits
        self.learning_rate = None
        self.rates, self.batches = [], []

    def train_on_batch(self, token_ids, answers):
        self.rates.append(self.learning_rate)
        self.batches.append((token_ids[:, 0].tolist(), answers[:, 0].tolist()))

    def predict(self, token_ids, **_):
        return self.logits


def test_a_step_is_taken_for_every_rate():
    model, ids = Model(), np.arange(6)[:, np.newaxis]
    assert training.fit(model, (ids, -ids), 2, [0.0, 1.0, 0.5], Clock()) == 1
    assert model.rates == [0.0, 1.0, 0.5]
    assert model.batches == [([0, 1], [0, -1]), ([2, 3], [-2, -3]), ([4, 5], [-4, -5])]
    shares = [training.schedule(x) for x in (0, 0.05, 0.1, 0.7, 0.85, 1)]
    assert shares == pytest.approx([0, 0.5, 1, 1, 0.5, 0])


def test_only_queries_count():
    logits = np.log([[[0.5, 0.5], [0.2, 0.8], [0.9, 0.1]], [[0.25, 0.75], [0.5, 0.5], [0.4, 0.6]]])
    answers = np.array([[-1, 1, 1], [1, -1, 1]])
    found = training.evaluate(Model(logits), (None, answers), 2)
    assert found["accuracy"] == 0.75
    expected = -np.log([0.8, 0.1, 0.75, 0.6]).mean()
    assert found["loss"] == pytest.approx(expected)
    loss = training.compiled(keras.Sequential(), "adam").loss
    assert float(loss(answers, logits.astype("float32"))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "direction", [x if x == CAUSAL else pytest.param(x, marks=pytest.mark.slow) for x in DIRECTIONS]
)
def test_a_whole_run(direction):
    figures = training.train(direction, "fixed, 1 opened by 1", 0, SETTINGS)
    assert list(figures) == ["192"]
    assert figures["192"]["steps"] == 5
    assert figures["192"]["seconds"] > 0
    for question in QUESTIONS:
        assert 0 <= figures["192"][question]["accuracy"] <= 1
        assert np.isfinite(figures["192"][question]["loss"])


def test_quick_is_less_of_the_same():
    settings = quick(PUBLISHED)
    assert set(settings) == set(PUBLISHED)
    assert len(settings["stages"]) < len(PUBLISHED["stages"])
    assert {x["length"] for x in settings["stages"]} >= set(settings["tested_lengths"])
