"""SumOfBranches: a sum; in training, the second branch alone for some of the examples."""

import keras
import numpy as np
import pytest

from keras_combiner.layers import SumOfBranches

FIRST, SECOND = np.random.default_rng(0).normal(size=(2, 2000, 3, 2)).astype("float32")


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_leaves_the_first_out_of_whole_examples(rate):
    outputs = np.array(SumOfBranches(rate, seed=0)([FIRST, SECOND], training=True))
    alone = (outputs == SECOND).all(axis=(1, 2))
    assert np.mean(alone) == pytest.approx(rate, abs=0.03)
    np.testing.assert_array_equal(outputs[~alone], (FIRST + SECOND)[~alone])


@pytest.mark.parametrize("arguments", [{"training": False}, {}])
def test_adds_all_but_in_training(arguments):
    outputs = SumOfBranches(0.5)([FIRST, SECOND], **arguments)
    np.testing.assert_array_equal(outputs, FIRST + SECOND)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [0, 1])
def test_small_batches(size, training):
    outputs = SumOfBranches(0.0)([FIRST[:size, 0], SECOND[:size, 0]], training=training)
    np.testing.assert_array_equal(outputs, (FIRST + SECOND)[:size, 0])
    assert SumOfBranches(0.5)([FIRST[:size], SECOND[:size]], training=training).shape[0] == size


def test_what_is_left_out_may_be_anything():
    first = np.full((4, 2), np.nan, "float32")
    outputs = SumOfBranches(1.0)([first, np.ones((4, 2), "float32")], training=True)
    np.testing.assert_array_equal(outputs, np.ones((4, 2)))


def test_every_call_leaves_out_others_and_a_seed_repeats_them():
    layer, same = SumOfBranches(0.5, seed=3), SumOfBranches(0.5, seed=3)
    first, second = (np.array(layer([FIRST, SECOND], training=True)) for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, same([FIRST, SECOND], training=True))


def test_is_saved(tmp_path):
    inputs = [keras.Input((3, 2)), keras.Input((3, 2))]
    model = keras.Model(inputs, SumOfBranches(0.25, seed=1)(inputs))
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    assert reloaded.layers[-1].get_config() == model.layers[-1].get_config()
    np.testing.assert_array_equal(reloaded([FIRST, SECOND]), FIRST + SECOND)


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_wrong_rates(rate):
    with pytest.raises(ValueError, match="`rate` must be at least 0 and at most 1"):
        SumOfBranches(rate)
