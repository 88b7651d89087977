"""The learning rate of the recipe: it rises, falls, and ends at zero with the last step."""

import functools
import math

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_combiner.models import (
    default_recipe,
)
from tests.models.ten_texts import (
    LABELS,
    TARGETS,
    TEXTS,
    make,
    rates,
    token_ids,
)

EAGERLY = {
    "suppress_health_check": [hypothesis.HealthCheck.function_scoped_fixture],
    "phases": [hypothesis.Phase.generate],
}


@hypothesis.given(
    n=st.integers(1, 20),
    batch_size=st.integers(1, 8),
    epochs=st.integers(1, 5),
    steps_per_epoch=st.none() | st.integers(1, 9),
    as_data_set=st.booleans(),
)
@hypothesis.settings(max_examples=40)
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_steps_are_counted_as_keras_takes_them(n, batch_size, epochs, steps_per_epoch, as_data_set):
    x = np.zeros((n, 2))
    batches = math.ceil(n / batch_size)
    data = x
    if as_data_set:
        data = tf.data.Dataset.from_tensor_slices(x).batch(batch_size)
    assert default_recipe.num_batches(data, batch_size) == batches
    if as_data_set:
        data = data.apply(tf.data.experimental.assert_cardinality(batches))
    iterator = EpochIterator(
        data,
        batch_size=None if as_data_set else batch_size,
        steps_per_epoch=steps_per_epoch,
        shuffle=False,
    )
    iterator.reset()
    taken = sum(len(list(iterator)) for _ in range(epochs))
    assert default_recipe.num_steps(batches, epochs, steps_per_epoch) == taken


@hypothesis.given(n=st.integers(2, 50), batch_size=st.integers(1, 9), share=st.floats(0.02, 0.9))
def test_a_split_leaves_as_many_batches_as_in_keras(n, batch_size, share):
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    x = np.zeros((n, 2))
    hypothesis.assume(0 < math.floor(n * (1.0 - share)) < n)
    (left, *_), _ = train_validation_split((x, None, None), share)
    assert default_recipe.num_batches(x, batch_size, share) == math.ceil(len(left) / batch_size)


@hypothesis.given(steps=st.integers(1, 5000))
def test_the_schedule_rises_then_falls_to_zero_and_no_step_is_wasted(steps):
    schedule = default_recipe.cosine(0.1, steps)
    at = [float(schedule(x)) for x in sorted({0, max(1, steps // 10), steps - 1, steps, steps + 9})]
    assert max(at) == pytest.approx(0.1, rel=1e-5)
    assert at[-1] == pytest.approx(0.0, abs=1e-7)
    assert float(schedule(steps)) == pytest.approx(0.0, abs=1e-7)
    if steps > 1:
        assert at[0] < at[1]


@pytest.mark.filterwarnings("ignore:The last . of:keras_combiner.data_warning.DataWarning")
@pytest.mark.parametrize("source", ["texts", "token ids", "data set", "endless"])
@hypothesis.given(
    epochs=st.integers(1, 4),
    initial_epoch=st.integers(0, 3),
    steps_per_epoch=st.none() | st.integers(1, 7),
    batch_size=st.integers(1, 6),
    accumulate=st.none() | st.integers(1, 3),
)
@hypothesis.settings(max_examples=6, **EAGERLY)
def test_the_learning_rate_ends_at_zero(
    fits, source, epochs, initial_epoch, steps_per_epoch, batch_size, accumulate
):
    model = _model_of_schedules()
    ids = token_ids(model)
    x, y, count = TEXTS, LABELS, len(TEXTS)
    if source == "token ids":
        x, y = ids, TARGETS
    elif source != "texts":
        x, y = tf.data.Dataset.from_tensor_slices((ids, TARGETS)).batch(batch_size), None
    if source == "endless":
        x, steps_per_epoch = x.repeat(), steps_per_epoch or 3
    batches = math.ceil(count / batch_size)
    left = max(0, epochs - initial_epoch)
    steps = left * (steps_per_epoch or batches)
    if source in ("token ids", "data set"):
        steps = default_recipe.num_steps(batches, left, steps_per_epoch)
    options = {
        "epochs": epochs,
        "initial_epoch": initial_epoch,
        "steps_per_epoch": steps_per_epoch,
        "batch_size": batch_size,
        "gradient_accumulation_steps": accumulate,
        "verbose": 0,
    }
    if accumulate and 0 < steps < accumulate:
        with pytest.raises(ValueError, match="the weights would never change"):
            model.fit(x, y, **options)
        return
    model.fit(x, y, **options)
    received = fits[-1]
    assert received["epochs"] == epochs
    assert received["initial_epoch"] == initial_epoch
    expected = (steps_per_epoch or batches) if source == "texts" else steps_per_epoch
    assert received["steps_per_epoch"] == expected
    # Schedules count batches, whether or not the optimizer accumulates their gradients.
    schedule = model.optimizer._learning_rate
    assert float(schedule(max(1, steps))) == pytest.approx(0.0, abs=1e-8)
    if steps > 1:
        assert float(schedule(0)) == 0.0
        assert max(float(schedule(i)) for i in range(steps)) == pytest.approx(2e-3, rel=1e-4)
        assert float(schedule(steps - 1)) > 0.0


@functools.cache
def _model_of_schedules():
    return make()


@pytest.mark.parametrize("accumulate", [pytest.param(None, marks=pytest.mark.slow), 2])
def test_keras_takes_the_steps_that_the_schedule_is_made_for(eager, accumulate):
    model = make()
    options = {"batch_size": 4, "epochs": 3, "initial_epoch": 1, "steps_per_epoch": 2}
    noted = rates(model, TEXTS, LABELS, gradient_accumulation_steps=accumulate, **options)
    assert len(noted) == 2 * 2 + 1
    assert noted[0] == 0.0
    assert max(noted) == pytest.approx(2e-3)
    assert noted[-1] == pytest.approx(0.0, abs=1e-8)


def test_a_training_of_one_step_learns(eager, shared):
    model = make()
    before = model.get_weights()
    model.fit(TEXTS, LABELS, verbose=0)
    assert any(np.any(x != y) for x, y in zip(before, model.get_weights(), strict=True))


def test_data_without_a_known_end(fits):
    model = make()
    data = tf.data.Dataset.from_tensor_slices((token_ids(model), TARGETS)).batch(4)
    with pytest.raises(ValueError, match=r"has no end\. Pass `steps_per_epoch`"):
        model.fit(data.repeat(), verbose=0)
    with pytest.warns(UserWarning, match="neither warms up nor decays. Pass `steps_per_epoch`"):
        model.fit(data.filter(lambda x, y: True), verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(2e-3)
