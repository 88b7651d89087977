"""The plan "logsparse": parts that double in size with their distance."""

import functools

import keras
import numpy as np
from keras import ops

from keras_combiner.factorizations import blocks, decoding, scores
from keras_combiner.factorizations.decoding import DecodingFactorization
from keras_combiner.factorizations.factorization import Support
from keras_combiner.factorizations.summaries import summarize
from keras_combiner.factorizations.terms import block_term, direct_term, part_term


@keras.saving.register_keras_serializable(package="keras_combiner")
class Logsparse(DecodingFactorization):
    """Attends to itself and its pair directly, and to ever larger blocks of a tree as a whole.

    At level t = 0, 1, ... the sequence is cut into blocks of 2**t tokens, in pairs; the part of
    level t is the sibling of the block that the query lies in. The siblings of all levels hold
    every other token exactly once; that of level 0 is one token, and direct. Causal queries see
    those to the left. The pattern needs a static length. Cost: O(T log T).

    Example:

    >>> Logsparse().support(length=8)[4]
    Support(direct=(4, 5), parts=((6, 7), (0, 1, 2, 3)))
    >>> Logsparse().support(length=8, causal=True)[6]
    Support(direct=(6,), parts=((4, 5), (0, 1, 2, 3)))

    Source: Ren et al., NeurIPS 2021, section 4.2 (Combiner-Logsparse).
    """

    def support(self, length, causal=False, choice=None):
        """See `Factorization.support`."""
        supports = []
        for i in range(length):
            direct = sorted(j for j in (i, i ^ 1) if j < (i + 1 if causal else length))
            parts = []
            for level in range(1, _num_levels(length)):
                sibling = (i >> level) ^ 1
                part = tuple(range(sibling << level, min((sibling + 1) << level, length)))
                if part and (part[0] < i or not causal):
                    parts.append(part)
            supports.append(Support(tuple(direct), tuple(parts)))
        return supports

    def terms(self, tokens, options, learned):
        """See `Factorization.terms`.

        Queries and their siblings of level 0 attend directly in N pairs. L = ceil(log2(T)) - 1
        levels remain.
        """
        length = self.static_length(tokens.query)
        if tokens.mask is None and length & (length - 1):
            full = ops.ones((1, length), dtype="bool")
            tokens = tokens._replace(mask=full)  # up to a power of two
        num_pairs = blocks.count(length, 2)
        pairs = tokens.in_blocks(2)  # [G, N, 2, D]
        direct = block_term(pairs, options.causal)
        levels = range(1, _num_levels(length)) if options.pooling.has_parts else ()
        parts = [summarize(*tokens.in_blocks(2**level), options.pooling) for level in levels]
        if not parts:
            return [direct]
        key, value, bias, variance = (
            _siblings_of_pairs([getattr(part, name) for part in parts], num_pairs)
            for name in ("key", "value", "bias", "variance")
        )  # [G, N, L, D], [G, N, L, V], [G, N, L, 1] or None, [G, N, L, D] or None
        bias = None if bias is None else ops.swapaxes(bias, 2, 3)
        mask = _part_mask(parts, levels, num_pairs, options.causal)
        share = functools.partial(_share_by_level, parts, levels)
        return [direct, part_term(pairs.query, key, value, mask, bias, share, variance)]

    def cache_shapes(self, key_dim, value_dim, max_length, pooling):
        """See `DecodingFactorization.cache_shapes`. O(max_length).

        All tokens, because they are summarized again later, in a larger block; and the summary of
        the last left sibling of every level above 0.
        """
        length = max_length + max_length % 2  # whole pairs
        num_levels = max(_num_levels(max_length) - 1, 0)
        return {
            "query": (length, key_dim),
            "key": (length, key_dim),
            "value": (length, value_dim),
            **decoding.part_shapes(num_levels, key_dim, value_dim, pooling),
        }

    def decode_heads(self, token, cache, position, pooling):
        """See `DecodingFactorization.decode_heads`. O(log max_length) a token, amortized.

        A token whose position ends in exactly t binary ones completes a left sibling of level t,
        which is summarized at once, for all tokens of the block to its right. So every second token
        summarizes nothing, every fourth one two tokens, every eighth one four, and so on.
        """
        cache = dict(cache)
        for name in ("query", "key", "value"):
            cache[name] = decoding.write(cache[name], getattr(token, name), position)
        pair_key, pair_value = (
            decoding.read(cache[name], position - position % 2, 2) for name in ("key", "value")
        )
        past = decoding.as_mask(ops.less_equal(ops.arange(2, dtype="int32"), position % 2))
        terms = [direct_term(token.query, pair_key, pair_value, past)]
        levels = np.arange(1, cache["part_key"].shape[1] + 1, dtype="int32")
        if not pooling.has_parts or not len(levels):
            return terms, cache
        left = ops.equal(position // 2**levels % 2, 1)
        terms.append(decoding.cached_part_term(token.query, cache, left))

        def keep():
            return {name: x for name, x in cache.items() if name.startswith("part_")}

        def summarize_sibling(level):
            return lambda: decoding.write_part(
                cache, _summarize_last(cache, position, 2**level, pooling), level - 1
            )

        ones = ops.equal((position + 1) % 2**levels, 0)
        branches = [keep, *(summarize_sibling(int(level)) for level in levels)]
        parts = ops.switch(ops.sum(ops.cast(ones, "int32")), branches)
        return terms, {**cache, **parts}


def _summarize_last(cache, position, size, pooling):
    """The `decoding.Part` that the `size` tokens up to `position` make."""
    tokens = (
        decoding.read(cache[name], position + 1 - size, size) for name in ("query", "key", "value")
    )
    return decoding.summarize_part(*tokens, None, pooling)


def _num_levels(length):
    """Levels of a tree with at least `length` leaves: 1 -> 0, 2 -> 1, 3 -> 2, 4 -> 2, 5 -> 3."""
    return max(length - 1, 0).bit_length()


def _siblings_of_pairs(levels, num_pairs):
    """For every pair of tokens, what its siblings of all levels hold; a column a level.

    Args:
        levels: list of tensors `[G, M, D]` (or `[G, M]`, or all None), one entry a block; blocks
            of the first level are pairs.
        num_pairs: int, N.

    Returns:
        `[G, N, L, D]`, or None.

    For a first level `a b c` (and no other): `b a 0`, the sibling of `c` being empty.
    """
    columns = []
    for level, x in enumerate(levels):
        if x is None:
            return None
        if len(x.shape) == 2:
            x = ops.expand_dims(x, 2)
        x = ops.flip(blocks.split(x, 2), axis=2)  # [G, M / 2, 2, D], siblings change places
        heads, half, _, features = ops.shape(x)
        x = ops.reshape(x, (heads, 2 * half, 1, features))
        columns.append(blocks.repeat(x, 2**level, num_pairs))
    return ops.concatenate(columns, axis=2)


def _share_by_level(parts, levels, weights):
    """Weights of siblings `[G, N, 2, L]` -> of their tokens, `[G, 2 N, 2 N]`."""
    weights = blocks.join(weights)
    position = np.arange(weights.shape[1])
    matrix = 0.0
    for column, (level, part) in enumerate(zip(levels, parts, strict=True)):
        far = weights[:, :, column : column + 1]
        far = scores.place(far, (position >> level) ^ 1, ops.shape(part.key)[1])
        matrix = matrix + scores.share(far, part.local_weights)[:, :, : len(position)]
    return matrix


def _part_mask(parts, levels, num_pairs, causal):
    """Broadcasts to `[G, N, 2, L]`: siblings that hold tokens and, if causal, lie to the left."""
    mask = None
    if parts[0].mask is not None:
        mask = ops.swapaxes(_siblings_of_pairs([x.mask for x in parts], num_pairs), 2, 3)
    if causal:
        pair = np.arange(num_pairs).reshape((1, num_pairs, 1, 1))
        left = (pair >> (np.array(levels) - 1)) % 2 == 1
        mask = ops.convert_to_tensor(left) if mask is None else ops.logical_and(mask, left)
    return mask
