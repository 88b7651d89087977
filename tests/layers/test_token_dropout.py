"""TokenDropout: how much it drops, when, and what it leaves alone."""

import keras
import numpy as np
import pytest

from keras_combiner.layers import TokenDropout

TOKEN_IDS = np.random.default_rng(0).integers(1, 50, size=(8, 500)).astype("int32")


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_drops_about_its_share_and_leaves_the_rest_as_it_is(rate):
    kept = np.array(TokenDropout(rate, seed=0)(TOKEN_IDS, training=True))
    assert kept.dtype == TOKEN_IDS.dtype
    assert np.mean(kept == 0) == pytest.approx(rate, abs=0.03)
    assert np.array_equal(kept[kept != 0], TOKEN_IDS[kept != 0])


@pytest.mark.parametrize("arguments", [{"training": False}, {}])
def test_drops_nothing_but_in_training(arguments):
    assert np.array_equal(TokenDropout(0.5)(TOKEN_IDS, **arguments), TOKEN_IDS)


def test_every_call_drops_others_and_a_seed_repeats_them():
    layer, same = TokenDropout(0.5, seed=3), TokenDropout(0.5, seed=3)
    first, second = (np.array(layer(TOKEN_IDS, training=True)) for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, same(TOKEN_IDS, training=True))


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_ids_stay_ids_in_a_model_and_after_reloading(policy, tmp_path):
    inputs = keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, TokenDropout(0.25, seed=1, dtype=policy)(inputs))
    assert model.output.dtype == "int32"
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    assert reloaded.layers[-1].get_config() == model.layers[-1].get_config()
    assert np.array_equal(reloaded(TOKEN_IDS), TOKEN_IDS)


@pytest.mark.parametrize("rate", [-0.1, 1, 2.0])
def test_wrong_rates(rate):
    with pytest.raises(ValueError, match="`rate` must be at least 0 and below 1"):
        TokenDropout(rate)
