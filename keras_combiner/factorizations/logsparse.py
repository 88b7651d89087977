"""The plan "logsparse": parts that double in size with their distance."""

import keras
import numpy as np
from keras import ops

from keras_combiner.factorizations import blocks, decoding, products, scores
from keras_combiner.factorizations.factorization import Factorization, Support
from keras_combiner.factorizations.softmax import joint_softmax
from keras_combiner.factorizations.summaries import summarize


@keras.saving.register_keras_serializable(package="keras_combiner")
class Logsparse(Factorization):
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

    def support(self, length, causal=False):
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

    def attend_heads(
        self, query, key, value, padding_mask, causal, pooling, dropout, weights, inputs
    ):
        """See `Factorization.attend_heads`.

        Queries and their siblings of level 0 attend directly in N pairs. L = log2(T) - 1 levels
        remain.
        """
        length = self.static_length(query)
        if padding_mask is None and length & (length - 1):
            padding_mask = ops.ones((1, length), dtype="bool")  # up to a power of two
        num_pairs = blocks.count(length, 2)
        levels = range(1, _num_levels(length))
        pair_query = blocks.split(query, 2)  # [G, N, 2, D]
        pair_key = blocks.split(key, 2)
        pair_value = blocks.split(value, 2)
        direct_logits = products.matmul(
            pair_query, pair_key, "direct_logits", transpose_y=True
        )  # [G, N, 2, 2]
        direct_mask = blocks.split_mask(padding_mask, length, 2)
        if direct_mask is not None:
            direct_mask = ops.expand_dims(direct_mask, 2)
        if causal:
            past = np.tri(2, dtype=bool).reshape((1, 1, 2, 2))
            direct_mask = past if direct_mask is None else ops.logical_and(direct_mask, past)
        terms = [(direct_logits, direct_mask)]

        if not pooling.has_parts:
            levels = ()
        parts = [
            summarize(
                *(blocks.split(x, 2**level) for x in (query, key, value)),
                blocks.split_mask(padding_mask, length, 2**level),
                pooling,
            )
            for level in levels
        ]
        if parts:
            part_key, part_value, part_bias = (
                _siblings_of_pairs([getattr(part, name) for part in parts], num_pairs)
                for name in ("key", "value", "bias")
            )  # [G, N, L, D], [G, N, L, V], [G, N, L, 1] or None
            logits = products.matmul(
                pair_query, part_key, "part_logits", transpose_y=True
            )  # [G, N, 2, L]
            bias = None if part_bias is None else ops.swapaxes(part_bias, 2, 3)
            terms.append((logits, _part_mask(parts, levels, num_pairs, causal), bias))
        weights = joint_softmax(terms)

        used = weights if dropout is None else [dropout(x) for x in weights]
        used = [ops.cast(x, value.dtype) for x in used]
        outputs = products.matmul(used[0], pair_value, "direct_outputs")
        if parts:
            outputs = outputs + products.matmul(used[1], part_value, "part_outputs")

        def attention_scores():
            position = np.arange(2 * num_pairs)
            direct = scores.flatten_blocks(weights[0])
            matrix = scores.place(direct, position // 2, num_pairs)[:, :length, :length]
            for column, (level, part) in enumerate(zip(levels, parts, strict=True)):
                far = scores.flatten_blocks(weights[1][:, :, :, column : column + 1])
                far = scores.place(far, (position >> level) ^ 1, ops.shape(part.key)[1])
                matrix = matrix + scores.share(far, part.local_weights)[:, :length, :length]
            return ops.cast(matrix, value.dtype)

        return blocks.merge(outputs, length), attention_scores

    def cache_shapes(self, key_dim, value_dim, max_length):
        """See `Factorization.cache_shapes`. O(max_length).

        All tokens, for one day they are summarized once more, in a larger block; and the summary
        of the last left sibling of every level above 0.
        """
        length = max_length + max_length % 2  # whole pairs
        num_levels = max(_num_levels(max_length) - 1, 0)
        return {
            "query": (length, key_dim),
            "key": (length, key_dim),
            "value": (length, value_dim),
            **decoding.part_shapes(num_levels, key_dim, value_dim),
        }

    def decode_heads(self, query, key, value, cache, position, pooling):
        """See `Factorization.decode_heads`. O(log max_length) a token, taken over many.

        A token whose position ends in exactly t binary ones completes a left sibling of level t,
        which is summarized then and there, for all tokens of the block beside it. So every second
        token summarizes nothing, every fourth one two tokens, every eighth one four, and so on.
        """
        cache = dict(cache)
        for name, x in (("query", query), ("key", key), ("value", value)):
            cache[name] = decoding.write(cache[name], x, position)
        pair_key, pair_value = (
            decoding.read(cache[name], position - position % 2, 2) for name in ("key", "value")
        )
        past = ops.less_equal(ops.arange(2, dtype="int32"), position % 2)
        terms, values = [decoding.direct_term(query, pair_key, past)], [pair_value]
        levels = np.arange(1, cache["part_key"].shape[1] + 1, dtype="int32")
        if not pooling.has_parts or not len(levels):
            return decoding.mix(terms, values), cache
        left = ops.equal(position // 2**levels % 2, 1)
        terms.append(decoding.part_term(query, cache, left))
        values.append(cache["part_value"])

        def keep():
            return {name: x for name, x in cache.items() if name.startswith("part_")}

        def summarize_sibling(level):
            return lambda: decoding.write_part(
                cache, _summarize_last(cache, position, 2**level, pooling), level - 1
            )

        ones = ops.equal((position + 1) % 2**levels, 0)
        branches = [keep, *(summarize_sibling(int(level)) for level in levels)]
        parts = ops.switch(ops.sum(ops.cast(ones, "int32")), branches)
        return decoding.mix(terms, values), {**cache, **parts}


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
