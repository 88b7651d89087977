"""Summaries of parts: one key and one value that stand for all tokens of a part.

Legend: G batch * heads, N parts, S tokens a part, D key dim, V value dim.
"""

from typing import Any, NamedTuple

from keras import ops

from keras_combiner.factorizations import precision, products
from keras_combiner.factorizations.softmax import masked_softmax
from keras_combiner.factorizations.weight_spec import WeightSpec

SUMMARIES = ("max", "mean", "deepset", "variational", "gaussian")
NONE = "none"  # no parts at all: the sparse pattern that a plan comes from


class Pooling(NamedTuple):
    """How a part's query and key are made of those of its tokens: a name, and learned weights.

    Attributes:
        name: str, one of `SUMMARIES` or `NONE`.
        query_kernel: float tensor `[D, D]` of "deepset", else None.
        key_kernel: float tensor `[D, D]` of "deepset", else None.
    """

    name: str
    query_kernel: Any = None
    key_kernel: Any = None

    @property
    def averages(self):
        """Whether a part's query and key are averages over its tokens, not maxima."""
        return self.name == "mean" or self.weighs_keys

    @property
    def weighs_keys(self):
        """Whether a part's key is the average under its local distribution, with its entropy."""
        return self.name in ("variational", "gaussian")

    @property
    def has_variance(self):
        """Whether the variance of a part's keys counts as well."""
        return self.name == "gaussian"

    @property
    def has_parts(self):
        """Whether parts are attended to: false for "none", which leaves the direct tokens only."""
        return self.name != NONE

    def features(self, query, key):
        """What is pooled: queries and keys `[..., D]`, or, for "deepset", features of each."""
        if self.name != "deepset":
            return query, key
        return tuple(
            ops.relu(ops.matmul(x, ops.cast(kernel, x.dtype)))
            for x, kernel in ((query, self.query_kernel), (key, self.key_kernel))
        )

    def of_summaries(self):
        """The pooling of what has been pooled before: of features, "deepset" takes the maximum."""
        return Pooling("max") if self.name == "deepset" else self


class Summaries(NamedTuple):
    """What `summarize` returns.

    Attributes:
        key: float tensor `[G, N, D]`, the key of every part.
        value: float tensor `[G, N, V]`, its local expectation of the values.
        bias: float32 tensor `[G, N]` added to the part's logit, or None for zero.
        local_weights: float32 tensor `[G, N, S]`, the local distribution p(token | part).
        mask: bool tensor `[G, N]`, true for parts that have a token, or None if all have.
        query: float tensor `[G, N, D]`, the pooled query that makes the local distribution.
        counts: float32 tensor `[G, N]` (G may be 1), number of tokens of every part, or None if
            all have as many.
        variance: float tensor `[G, N, D]`, the variance of the keys of every part, feature by
            feature, or None where it does not count.
    """

    key: Any
    value: Any
    bias: Any
    local_weights: Any
    mask: Any
    query: Any
    counts: Any
    variance: Any = None


def check(summary):
    """Raises a ValueError unless `summary` is the name of a way to summarize."""
    if summary not in (*SUMMARIES, NONE):
        raise ValueError(
            f"`summary` must be one of {', '.join(map(repr, SUMMARIES))}, or {NONE!r} for no parts "
            f"at all. Received: {summary!r}."
        )


def weight_specs(summary, key_dim):
    """See `Factorization.weight_specs`: what `summary` has to learn."""
    if summary != "deepset":
        return {}
    kernel = WeightSpec((key_dim, key_dim))
    return {"deepset_query_kernel": kernel, "deepset_key_kernel": kernel}


def get(summary, weights):
    """Returns the `Pooling` of the name `summary`, with its weights out of a dictionary."""
    return Pooling(summary, weights.get("deepset_query_kernel"), weights.get("deepset_key_kernel"))


def summarize(query, key, value, mask, pooling, counts=None, bias=None, variance=None):
    """Summarizes every part by attention inside the part.

    With q_P and k_P pooled over the tokens of a part P, the local distribution is
    `w_P(j) = softmax_j(q_P . k_j)` and the part's value is `v_P = sum_j w_P(j) v_j`:

    - "max": q_P and k_P are maxima over the part, feature by feature (the paper's choice).
    - "mean": they are means.
    - "deepset": they are maxima over the outputs of a learned dense layer without bias and a ReLU,
      one layer for queries and one for keys.
    - "variational": q_P is the mean, `k_P = sum_j w_P(j) k_j`, and the entropy of w_P is added
      to the part's logit: the weight of the part that brings a query's attention closest to full
      softmax attention, given w_P.
    - "gaussian": as "variational", and nearer to the weight that softmax attention gives the part:
      its keys under w_P are taken for a Gaussian, whose variance feature by feature, `sigma2_P =
      sum_j w_P(j) (k_j - k_P)^2`, adds `sum_d q_d^2 sigma2_P_d / 2` to the logit of a query q
      (already divided by sqrt(D)), but no more than `softmax.MOST_ABOVE`: that term grows with the
      square of the query, while the logarithm of the exact weight grows linearly at most.

    Args:
        query: float tensor `[G, N, S, D]`, already divided by sqrt(D).
        key: float tensor `[G, N, S, D]`.
        value: float tensor `[G, N, S, V]`.
        mask: bool tensor `[G, N, S]` (G may be 1), true at tokens that count, or None for all.
            Tokens that do not count take no part in pooling or attention; a part without any
            token has `mask` False in the result.
        pooling: `Pooling`.
        counts: float32 tensor `[G, N, S]` (G may be 1): where summaries are summarized again, of
            how many tokens each of them is the summary; None if all stand for as many.
        bias: float32 tensor `[G, N, S]`, the biases of the summaries that are summarized, or None.
        variance: float tensor `[G, N, S, D]`, their variances, or None.

    Returns:
        `Summaries`.

    Source: Ren et al., NeurIPS 2021, section 3.1 and appendix; the variational weight minimises
    the KL divergence to softmax attention; the gaussian one is the cumulant generating function
    of a Gaussian with the part's mean and variances.
    """
    if counts is None and mask is not None:
        counts = ops.cast(mask, precision.dtype_for(key))
    query_features, key_features = pooling.features(query, key)
    if pooling.averages:
        part_query = _mean_pool(query_features, counts)
    else:
        part_query = max_pool(query_features, mask)
    # Keys first: the gradient of transposed keys is transposed too, in a pass of its own.
    logits = products.matmul(key, ops.expand_dims(part_query, 3), "local_logits")  # [G, N, S, 1]
    logits = ops.swapaxes(logits, 2, 3)
    local_mask = None if mask is None else ops.expand_dims(mask, 2)
    local_weights = masked_softmax(logits, local_mask)
    weights = ops.cast(local_weights, value.dtype)
    part_value = ops.squeeze(products.matmul(weights, value, "part_value"), 2)  # [G, N, V]
    local_weights = ops.squeeze(local_weights, 2)
    part_bias = part_variance = None
    if pooling.weighs_keys:
        part_key = ops.squeeze(products.matmul(weights, key, "part_key"), 2)
        part_bias = entropy(local_weights)
        if bias is not None:
            part_bias = part_bias + ops.sum(local_weights * bias, axis=-1)
        if pooling.has_variance:
            # Moving the center would change no variance: it needs no gradient.
            center = ops.expand_dims(ops.stop_gradient(part_key), 2)
            squares = precision.square(key - center)
            if variance is not None:  # the law of total variance
                squares = squares + ops.cast(variance, squares.dtype)
            # Weights of float16 would have gradients in it, of the size of squares.
            weights = ops.cast(ops.expand_dims(local_weights, 2), squares.dtype)
            part_variance = ops.squeeze(products.matmul(weights, squares, "part_variance"), 2)
    elif pooling.averages:
        part_key = _mean_pool(key_features, counts)
    else:
        part_key = max_pool(key_features, mask)
    return Summaries(
        key=part_key,
        value=part_value,
        bias=part_bias,
        local_weights=local_weights,
        mask=None if mask is None else ops.any(mask, axis=-1),
        query=part_query,
        counts=None if counts is None else ops.sum(counts, axis=-1),
        variance=part_variance,
    )


def max_pool(x, mask):
    """Maximum of `[G, N, S, D]` over the tokens that count, `[G, N, D]`."""
    if mask is not None:
        x = ops.where(ops.expand_dims(mask, -1), x, below_minimum(x))
    return ops.max(x, axis=2)


def below_minimum(x):
    """Less than all of `[G, N, S, D]` along S, `[G, N, 1, D]`: what a maximum may be filled with.

    Finite, and never a maximum beside a token that counts, not even a tied one, which would share
    in its gradient.
    """
    smallest = ops.stop_gradient(ops.min(x, axis=2, keepdims=True))
    return smallest - ops.abs(smallest) - 1.0


def _mean_pool(x, counts):
    if counts is None:
        return ops.mean(x, axis=2)
    counts = ops.expand_dims(counts, -1)  # [G, N, S, 1]
    total = ops.maximum(ops.sum(counts, axis=2, keepdims=True), 1.0)
    # Shares before the sum, which could otherwise exceed what float16 holds.
    return ops.sum(x * ops.cast(counts / total, x.dtype), axis=2)


def variance_of_runs(weights, key, center):
    """Variances of the keys of parts that overlap, or share their tokens.

    Args:
        weights: float tensor `[G, I, J, S]`, local distributions of J parts over S tokens.
        key: float tensor `[G, I, S, D]`.
        center: float tensor `[G, I, 1, D]`, any value near the keys. Squares about it, unlike
            those about zero, leave enough digits of their difference.

    Returns:
        float tensor `[G, I, J, D]`, at least zero.
    """
    # What the center does to the two products cancels, in gradients too, which are as large as
    # squares: neither is rounded to float16.
    offset = precision.cast_for_squares(key - ops.stop_gradient(center))
    weights = ops.cast(weights, offset.dtype)
    mean = products.matmul(weights, offset, "part_variance")
    about_center = products.matmul(weights, ops.square(offset), "part_variance")
    return ops.maximum(about_center - ops.square(mean), 0.0)


def entropy(weights):
    """Entropy over the last axis, in nats; terms of weight zero contribute zero."""
    # One in place of zero keeps the logarithm finite in every format, and its gradient too.
    positive = ops.where(weights > 0, weights, ops.ones_like(weights))
    return -ops.sum(weights * ops.log(positive), axis=-1)
