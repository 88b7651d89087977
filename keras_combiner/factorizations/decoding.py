"""Decoding one token at a time, for plans that can: a cache that holds what is still needed.

Legend: G batch * heads, T entries that the cache keeps, D any feature dim.
"""

import numbers
from typing import Any, NamedTuple

from keras import ops

from keras_combiner.factorizations import blocks, heads, summaries, terms, weight_spec
from keras_combiner.factorizations.blocks import Tokens
from keras_combiner.factorizations.factorization import Factorization, check_locality

# An entry of every cache without contents: its shape `[B, H, max_length, 0]` tells how long the
# sequence may get, also while a graph is traced, and its dtype what the cache holds.
CAPACITY = "capacity"


class DecodingFactorization(Factorization):
    """A plan that decodes: besides what every plan has, `cache_shapes` and `decode_heads`."""

    decodes = True

    def cache_shapes(self, key_dim, value_dim, max_length, pooling):
        """States what decoding has to keep; subclasses implement this.

        Args:
            key_dim: int, D.
            value_dim: int, V.
            max_length: int.
            pooling: `summaries.Pooling`.

        Returns:
            A dictionary, name -> shape (tuple of int) of what is kept for one head. An entry whose
            name ends in "bias" or "variance" is float32.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement cache_shapes().")

    def decode_heads(self, token, cache, position, pooling):
        """Says what one new token of every sequence attends to; subclasses implement this.

        Args:
            token: `blocks.Tokens` of one token, without a mask.
            cache: dictionary of tensors `[G, ...]`, shaped as `cache_shapes` says.
            position: int32 scalar tensor, the token's, less than the cache's `max_length`.
            pooling: `summaries.Pooling`.

        Returns:
            `(terms, cache)`: a list of `terms.Term` with logits `[G, 1, C]`, and the cache with the
            token in it.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement decode_heads().")

    def initial_cache(
        self,
        batch_size,
        num_heads,
        key_dim,
        value_dim,
        max_length,
        dtype="float32",
        summary="variational",
    ):
        """Makes the empty cache that `decode` starts with.

        Args:
            batch_size: int, B.
            num_heads: int, H.
            key_dim: int, D.
            value_dim: int, V.
            max_length: int, the most tokens that will be decoded.
            dtype: str, the dtype that keys and values are kept in.
            summary: str, as in `attend`; `decode` must be given the same.

        Returns:
            A dictionary, name (str) -> tensor `[B, H, ...]` of zeros: whatever the plan needs to
            remember of the tokens before; only the plan reads it.

        Raises:
            ValueError: if `batch_size` or `max_length` is not an int of at least 1, and for an
                unknown `summary`.

        Example:

        >>> from keras_combiner.factorizations import Fixed
        >>> cache = Fixed(block_size=4).initial_cache(
        ...     batch_size=1, num_heads=2, key_dim=8, value_dim=8, max_length=100
        ... )
        >>> tuple(cache["key"].shape), tuple(cache["part_key"].shape)
        ((1, 2, 4, 8), (1, 2, 25, 8))
        """
        for name, size in (("batch_size", batch_size), ("max_length", max_length)):
            blocks.check_size(name, size, "because a cache has a static shape")
        summaries.check(summary)
        wide = "float64" if dtype == "float64" else "float32"  # as logits are
        shapes = self._entries(key_dim, value_dim, max_length, summary)
        return {
            name: ops.zeros(
                (batch_size, num_heads, *shape),
                wide if name.endswith(("bias", "variance")) else dtype,
            )
            for name, shape in shapes.items()
        }

    def decode(
        self,
        query,
        key,
        value,
        cache,
        position,
        summary="variational",
        weights=None,
        locality=0.0,
    ):
        """Computes causal attention for the next token of every sequence.

        Decoding the tokens of a sequence one by one returns what `attend(causal=True)` returns for
        all of them at once, at a cost per token that grows more slowly than the length.

        Legend: B batch, H heads, D key dim, V value dim.

        Args:
            query: float tensor `[B, H, D]`, of the token at `position`.
            key: float tensor `[B, H, D]`.
            value: float tensor `[B, H, V]`.
            cache: dictionary of tensors, what `initial_cache` made or the last step returned.
            position: int, or int32 scalar tensor: 0 for the first token, then 1, and so on
                without a gap. The same for all sequences, none of which has padding.
            summary: as in `attend`, the same in all steps and in `initial_cache`.
            weights: as in `attend`.
            locality: as in `attend`.

        Returns:
            `(outputs, cache)`: float tensor `[B, H, V]`, and the cache for the next step, of the
            same structure, so that it can be the state of a loop.

        Raises:
            ValueError: for an unknown `summary`, a `locality` out of range, weights that are
                missing, a cache of another plan, batch size, width or summary, or a `position` that
                is an int for which the cache has no room. (The value of a tensor is not checked.)

        Example:

        >>> import numpy as np
        >>> from keras_combiner.factorizations import Fixed
        >>> plan = Fixed(block_size=2)
        >>> heads = np.random.default_rng(0).normal(size=(1, 2, 5, 8)).astype("float32")
        >>> cache = plan.initial_cache(1, num_heads=2, key_dim=8, value_dim=8, max_length=5)
        >>> for position in range(5):
        ...     token = heads[:, :, position]
        ...     outputs, cache = plan.decode(token, token, token, cache, position)
        >>> whole = plan.attend(heads, heads, heads, causal=True)
        >>> bool(np.allclose(outputs, whole[:, :, 4], atol=1e-5))
        True

        Source: Ren et al., NeurIPS 2021, equation 5, for one query.
        """
        summaries.check(summary)
        query, key, value = (ops.convert_to_tensor(x) for x in (query, key, value))
        num_heads, key_dim = query.shape[1:]
        check_locality(locality, num_heads)
        self._check_cache(cache, query.shape, value.shape[2], summary)
        _check_position(position, cache)
        dtype = cache[CAPACITY].dtype
        weights = {} if weights is None else weights
        specs = self.all_weight_specs(summary, num_heads, key_dim, value.shape[2], None)
        weight_spec.check(specs, weights)
        query = query * key_dim**-0.5
        token = (heads.flatten(ops.cast(ops.expand_dims(x, 2), dtype)) for x in (query, key, value))
        found, new_cache = self.decode_heads(
            Tokens(*token),
            {name: heads.flatten(x) for name, x in cache.items()},
            ops.cast(position, "int32"),
            summaries.get(summary, weights),
        )
        favor = heads.favor(locality, query)
        favor = None if favor is None else ops.squeeze(favor, 1)  # one token, no blocks
        outputs, _ = terms.weighted_sum(found, dtype, favor=favor)
        new_cache = {name: heads.unflatten(x, num_heads) for name, x in new_cache.items()}
        outputs = ops.squeeze(heads.unflatten(outputs, num_heads), 2)
        return ops.cast(outputs, value.dtype), {CAPACITY: cache[CAPACITY], **new_cache}

    def _entries(self, key_dim, value_dim, max_length, summary):
        shapes = self.cache_shapes(key_dim, value_dim, max_length, summaries.Pooling(summary))
        return {CAPACITY: (max_length, 0), **shapes}

    def _check_cache(self, cache, query_shape, value_dim, summary):
        """Raises a ValueError unless the plan made `cache` for queries of that shape."""
        remedy = "Start with what `initial_cache` returns, and go on with what each step returns."
        if not isinstance(cache, dict) or CAPACITY not in cache:
            found = sorted(cache) if isinstance(cache, dict) else type(cache).__name__
            raise ValueError(
                f"`cache` must be what `initial_cache` made. Received: {found}. {remedy}"
            )
        batch, num_heads, key_dim = query_shape
        shapes = self._entries(key_dim, value_dim, cache[CAPACITY].shape[2], summary)
        expected = {name: (num_heads, *shape) for name, shape in shapes.items()}
        received = {name: tuple(x.shape[1:]) for name, x in cache.items()}
        sizes = {x.shape[0] for x in cache.values()} | {batch}
        if received != expected or len(sizes - {None}) > 1:
            raise ValueError(
                f"`cache` was made for another plan, batch, width or summary: "
                f"{type(self).__name__} with summary={summary!r} expects shapes {expected} after a "
                f"batch of {batch}. Received: shapes {received} after a batch of "
                f"{cache[CAPACITY].shape[0]}. {remedy}"
            )


def _check_position(position, cache):
    """Raises a ValueError if `position` is known now and the cache has no room for it."""
    shape = getattr(position, "shape", ())
    if len(shape):
        raise ValueError(
            "`position` must be one int for all sequences of the batch. Received: shape "
            f"{tuple(shape)}."
        )
    max_length = cache[CAPACITY].shape[2]
    if isinstance(position, numbers.Integral) and not 0 <= position < max_length:
        raise ValueError(
            f"`position` must lie between 0 and {max_length - 1}: the cache was made with "
            f"max_length={max_length}. Received: position={position}. Make a larger one: "
            f"initial_cache(..., max_length={max(position + 1, 1)})."
        )


class Part(NamedTuple):
    """The summary of one part.

    Attributes:
        query: float tensor `[G, 1, D]`.
        key: float tensor `[G, 1, D]`.
        value: float tensor `[G, 1, V]`.
        bias: float32 tensor `[G, 1]`.
        variance: float tensor `[G, 1, D]`, or None where it does not count.
    """

    query: Any
    key: Any
    value: Any
    bias: Any
    variance: Any


def write(cache, entry, index):
    """`[G, T, ...]` with `[G, 1, ...]` in place of what it held at `index`, an int32 scalar.

    For the entry `x` at index 1: `[a b c]` -> `[a x c]`.
    """
    entry = ops.cast(entry, cache.dtype)
    return ops.slice_update(cache, _start(index, cache), entry)


def write_if_early(cache, entry, position):
    """`write` of a token, unless it lies beyond what the cache keeps."""
    size = cache.shape[1]
    slot = ops.minimum(position, size - 1)
    entry = ops.cast(entry, cache.dtype)
    entry = ops.where(ops.less(position, size), entry, read(cache, slot, 1))
    return write(cache, entry, slot)


def read(cache, index, size):
    """`[G, T, ...]` -> `[G, size, ...]` from `index`, an int32 scalar, onwards.

    For index 1 and size 2: `[a b c d]` -> `[b c]`.
    """
    # TensorFlow has XLA compile a slice anew for every index at which it starts.
    return ops.take(cache, ops.cast(index, "int32") + ops.arange(size, dtype="int32"), axis=1)


def _start(index, cache):
    zero = ops.zeros((), "int32")
    return [zero, ops.cast(index, "int32"), *[zero] * (len(cache.shape) - 2)]


def as_mask(attended):
    """bool `[C]` -> `[1, 1, C]`, the mask of a `terms.Term`: what the token attends to."""
    return ops.reshape(attended, (1, 1, -1))


def part_shapes(count, key_dim, value_dim, pooling, prefix="part_"):
    """What `count` summaries hold for the queries to come."""
    variance = {f"{prefix}variance": (count, key_dim)} if pooling.has_variance else {}
    return {
        **variance,
        f"{prefix}key": (count, key_dim),
        f"{prefix}value": (count, value_dim),
        f"{prefix}bias": (count,),
    }


def write_part(cache, part, index, prefix="part_"):
    """The entries of `cache` that hold summaries, with one of them written.

    Args:
        cache: dictionary that holds what `part_shapes` says.
        part: `Part`.
        index: int32 scalar, the part's number.
        prefix: str, as in `part_shapes`.

    Returns:
        A dictionary of the new entries; the query is among them only if the cache keeps queries of
        parts.
    """
    kept = {f"{prefix}{name}": x for name, x in part._asdict().items()}
    return {name: write(cache[name], x, index) for name, x in kept.items() if name in cache}


def cached_part_term(query, cache, attended, prefix="part_"):
    """`terms.Term` of the summaries in `cache`.

    Args:
        query: float tensor `[G, S, D]`, already divided by sqrt(D).
        cache: dictionary that holds what `part_shapes` says.
        attended: bool tensor `[C]`, true at parts that the query attends to, or `[1, 1, C]`.
        prefix: str, as in `part_shapes`.
    """
    key, value, bias, variance = (
        cache.get(f"{prefix}{name}") for name in ("key", "value", "bias", "variance")
    )
    bias = ops.expand_dims(bias, 1)
    return terms.part_term(query, key, value, as_mask(attended), bias, variance=variance)


def summarize_part(query, key, value, mask, pooling, bias=None, variance=None):
    """`summaries.summarize` of one part: `[G, S, D]`, mask bool `[S]` or None, bias `[G, S]`.

    Returns a `Part`, whose bias is zero where the summary has none.
    """
    query, key, value = (ops.expand_dims(x, 1) for x in (query, key, value))
    parts = summaries.summarize(
        query,
        key,
        value,
        None if mask is None else as_mask(mask),
        pooling,
        bias=None if bias is None else ops.expand_dims(bias, 1),
        variance=None if variance is None else ops.expand_dims(variance, 1),
    )
    bias = ops.zeros_like(parts.local_weights[:, :, 0]) if parts.bias is None else parts.bias
    return Part(parts.query, parts.key, parts.value, bias, parts.variance)
