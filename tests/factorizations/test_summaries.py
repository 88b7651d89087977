import numpy as np
import pytest
from keras import ops

from keras_combiner.factorizations import summaries


def pooling(summary):
    """ "deepset" with kernels of one: what is not negative stays."""
    one = np.ones((1, 1), "float32")
    weights = {"deepset_query_kernel": one, "deepset_key_kernel": one}
    return summaries.get(summary, weights)


def part(*tokens):
    """One part of one head, [1, 1, S, D]."""
    return ops.convert_to_tensor(np.array(tokens, "float32")[np.newaxis, np.newaxis])


# Queries 1, 1, 1 and keys 0, ln 2, 0: local weights 1/4, 1/2, 1/4.
QUERY = part([1], [1], [1])
KEY = part([0], [np.log(2)], [0])
VALUE = part([4, 0], [0, 2], [0, 4])
EXPECTED_KEY = {
    "max": np.log(2),
    "deepset": np.log(2),
    "mean": np.log(2) / 3,
    "variational": np.log(2) / 2,
    "gaussian": np.log(2) / 2,
}


@pytest.mark.parametrize("summary", summaries.SUMMARIES)
def test_three_tokens_by_hand(summary):
    result = summaries.summarize(QUERY, KEY, VALUE, None, pooling(summary))
    np.testing.assert_allclose(result.local_weights, [[[0.25, 0.5, 0.25]]], atol=1e-6)
    np.testing.assert_allclose(result.value, [[[1, 2]]], atol=1e-6)
    np.testing.assert_allclose(result.key, [[[EXPECTED_KEY[summary]]]], atol=1e-6)
    assert result.mask is None
    if summary == "gaussian":  # every key is as far from the mean
        np.testing.assert_allclose(result.variance, [[[np.log(2) ** 2 / 4]]], atol=1e-6)
    else:
        assert result.variance is None
    if summary in ("variational", "gaussian"):
        np.testing.assert_allclose(result.bias, [[1.5 * np.log(2)]], atol=1e-6)
    else:
        assert result.bias is None


@pytest.mark.parametrize("summary", summaries.SUMMARIES)
def test_masked_tokens_take_no_part(summary):
    query, key, value = (part(*row) for row in ([[-1], [9]], [[-2], [9]], [[5], [9]]))
    result = summaries.summarize(query, key, value, np.array([[[True, False]]]), pooling(summary))
    np.testing.assert_allclose(result.local_weights, [[[1, 0]]], atol=1e-7)
    np.testing.assert_allclose(result.value, [[[5]]], atol=1e-6)
    expected_key = 0 if summary == "deepset" else -2  # a ReLU
    np.testing.assert_allclose(result.key, [[[expected_key]]], atol=1e-6)
    assert np.array(result.mask).tolist() == [[True]]
    if summary in ("variational", "gaussian"):
        np.testing.assert_allclose(result.bias, [[0]], atol=1e-6)
    if summary == "gaussian":
        assert not np.array(result.variance).any()


@pytest.mark.parametrize("summary", summaries.SUMMARIES)
def test_part_without_a_token_is_marked_and_finite(summary):
    result = summaries.summarize(QUERY, KEY, VALUE, np.zeros((1, 1, 3), bool), pooling(summary))
    assert np.array(result.mask).tolist() == [[False]]
    assert not np.array(result.local_weights).any()
    assert all(np.isfinite(x).all() for x in (result.key, result.value))


@pytest.mark.parametrize("summary", ["median", "Max", "", None])
def test_unknown_summary(summary):
    with pytest.raises(ValueError, match=r"`summary` must be one of 'max', 'mean', 'deepset'"):
        summaries.check(summary)
