import numpy as np
import pytest

from keras_combiner.convert import extend_positions

TABLE = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")


def test_tiling_repeats_the_table():
    extended = extend_positions(TABLE, 17)
    for i in range(17):
        np.testing.assert_array_equal(extended[i], TABLE[i % 7])


def test_interpolation_keeps_the_ends_and_runs_straight_between_known_places():
    extended = extend_positions(TABLE, 13, "interpolate")
    assert extended.dtype == "float32"
    np.testing.assert_allclose(extended[::2], TABLE, atol=1e-6)
    np.testing.assert_allclose(extended[1::2], (TABLE[1:] + TABLE[:-1]) / 2, atol=1e-6)


@pytest.mark.parametrize("method", ["tile", "interpolate"])
def test_fewer_positions_are_the_first_ones(method):
    np.testing.assert_array_equal(extend_positions(TABLE, 4, method), TABLE[:4])
    np.testing.assert_array_equal(extend_positions(TABLE, 7, method), TABLE)
    np.testing.assert_array_equal(extend_positions(TABLE[:1], 3, method), TABLE[[0, 0, 0]])


@pytest.mark.parametrize(
    ("length", "method", "words"),
    [
        (0, "tile", "`sequence_length` must be an int of at least 1"),
        (4.5, "tile", "`sequence_length` must be an int of at least 1"),
        (8, "stretch", "`positions` must be one of 'tile', 'interpolate'"),
    ],
)
def test_wrong_arguments(length, method, words):
    with pytest.raises(ValueError, match=words):
        extend_positions(TABLE, length, method)
