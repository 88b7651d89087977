"""BigBird's pattern as a plan, so that it is trained in the same layers as Combiner."""

import numpy as np
from keras import ops

from keras_combiner.factorizations import Factorization, blocks, scores
from keras_combiner.factorizations.factorization import Support
from keras_combiner.factorizations.terms import direct_term, weighted_sum


class BigBird(Factorization):
    """Sparse attention by blocks: the own one and its neighbors, global and random ones.

    The first and the last block are global: every token attends to them, and they attend to every
    token. All other blocks attend to themselves, the block on each side, the global blocks and
    `num_random` more, which are drawn once, from those that are left. There are no parts: a query
    sees nothing else, and the kind of summary does not matter.

    Args:
        block_size: int, at least 1.
        num_random: int, at least 0, random blocks of every block that is not global.
        seed: int, of the draw.

    Raises:
        ValueError: if a size is not an int in its range.

    Source: Zaheer et al., "Big Bird: Transformers for Longer Sequences", NeurIPS 2020 (the
    variant whose global tokens are tokens of the text).
    """

    covers_all = False
    pools_parts = False

    def __init__(self, block_size=64, num_random=3, seed=0):
        blocks.check_size("block_size", block_size, "the number of tokens of a block")
        blocks.check_size("num_random", num_random, "the number of random blocks", at_least=0)
        self.block_size = block_size
        self.num_random = num_random
        self.seed = seed

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {
            "block_size": self.block_size,
            "num_random": self.num_random,
            "seed": self.seed,
        }

    def attended_blocks(self, num_blocks):
        """What every block attends to: a list of sorted lists of int, for all but global blocks.

        The first list is that of block 1; a text of at most two blocks has none.
        """
        generator = np.random.default_rng(self.seed)
        found = []
        for own in range(1, num_blocks - 1):
            near = {0, own - 1, own, own + 1, num_blocks - 1}
            others = [block for block in range(num_blocks) if block not in near]
            drawn = generator.permutation(others)[: self.num_random].tolist()
            found.append(sorted([*near, *drawn]))
        return found

    def support(self, length, causal=False, choice=None):
        """See `Factorization.support`; a ValueError if it is to be causal."""
        _refuse_causal(causal)
        size = self.block_size
        num_blocks = blocks.count(length, size)
        every = list(range(num_blocks))
        attended = [every, *self.attended_blocks(num_blocks), every]
        supports = []
        for i in range(length):
            seen = attended[i // size]
            supports.append(Support(tuple(j for j in range(length) if j // size in seen), ()))
        return supports

    def attend_heads(self, tokens, options, learned):
        """See `Factorization.attend_heads`.

        N blocks of S tokens, the N - 2 inner ones with C attended blocks each, their keys side by
        side. A text of two blocks or less is all global.
        """
        _refuse_causal(options.causal)
        length, size = self.static_length(tokens.query), self.block_size
        num_blocks = blocks.count(length, size)
        attended = self.attended_blocks(num_blocks)
        query, key, value, mask = tokens.in_blocks(size)  # [G, N, S, D], mask [G, N, S] or None
        dtype, dropout = value.dtype, options.dropout
        ends = query if not attended else ops.concatenate([query[:, :1], query[:, -1:]], axis=1)
        ends = direct_term(
            *(ops.expand_dims(blocks.join(x), 1) for x in (ends, key, value)),
            None if mask is None else ops.reshape(mask, (ops.shape(mask)[0], 1, 1, -1)),
        )
        outputs, (ends_weights,) = weighted_sum([ends], dtype, dropout)
        outputs = ops.squeeze(outputs, 1)
        if attended:
            places, counts = _padded(attended)  # [N - 2, C]
            near_mask = np.repeat(counts, size, axis=1)  # [N - 2, C S]
            near_mask = near_mask[np.newaxis, :, np.newaxis]  # [1, N - 2, 1, C S]
            if mask is not None:
                taken = ops.expand_dims(_gather(mask, places), 2)  # [G, N - 2, 1, C S]
                near_mask = ops.logical_and(taken, near_mask)
            elif counts.all():
                near_mask = None
            near_key, near_value = (_gather(x, places) for x in (key, value))
            inner = direct_term(query[:, 1:-1], near_key, near_value, near_mask)
            inner, (inner_weights,) = weighted_sum([inner], dtype, dropout)
            rows = [outputs[:, :size], blocks.join(inner), outputs[:, size:]]
            outputs = ops.concatenate(rows, axis=1)

        def attention_scores():
            matrix = ops.squeeze(ends_weights, 1)
            if attended:
                inner_matrix = _place(inner_weights, places, num_blocks)
                rows = [matrix[:, :size], inner_matrix, matrix[:, size:]]
                matrix = ops.concatenate(rows, axis=1)
            return ops.cast(matrix[:, :length, :length], dtype)

        return outputs[:, :length], attention_scores


def _refuse_causal(causal):
    if causal:
        raise ValueError(
            "BigBird's global blocks see the whole text: it is for bidirectional attention. "
            "Received: causal=True."
        )


def _place(weights, places, num_blocks):
    """Weights `[G, M, S, C S]` of blocks at places `[M, C]` -> `[G, M S, N S]`, of all blocks."""
    size = ops.shape(weights)[2]
    weights, matrix = blocks.join(weights), 0.0
    for c in range(places.shape[1]):
        columns = weights[:, :, c * size : (c + 1) * size]
        slots = np.repeat(places[:, c], size)
        matrix = matrix + scores.place(columns, slots, num_blocks)
    return matrix


def _gather(x, places):
    """`[G, N, S, ...]`, places int `[M, C]` -> `[G, M, C S, ...]`: the blocks at these places."""
    heads, _, size, *features = ops.shape(x)
    count, width = places.shape
    x = ops.take(x, places.reshape(-1), axis=1)
    return ops.reshape(x, (heads, count, width * size, *features))


def _padded(lists):
    """Rows of one length, int32 `[M, C]`, and bool `[M, C]` where they hold something.

    For `[[0, 1], [2]]`: `[[0 1] [2 0]]` and `[[1 1] [1 0]]`.
    """
    width = max(map(len, lists))
    rows = np.array([row + [0] * (width - len(row)) for row in lists], "int32")
    return rows, np.arange(width) < np.array([[len(row)] for row in lists])
