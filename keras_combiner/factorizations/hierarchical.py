"""The plan "hierarchical": blocks of blocks of blocks, for the longest texts."""

import functools

import keras
import numpy as np
from keras import ops

from keras_combiner.factorizations import blocks, decoding, scores
from keras_combiner.factorizations.blocks import Tokens
from keras_combiner.factorizations.decoding import DecodingFactorization
from keras_combiner.factorizations.factorization import Support
from keras_combiner.factorizations.summaries import summarize
from keras_combiner.factorizations.terms import block_term, direct_term, part_term


@keras.saving.register_keras_serializable(package="keras_combiner")
class Hierarchical(DecodingFactorization):
    """Attends to the own block directly, and to its siblings at every level of a tree as a whole.

    A block of level 0 is S consecutive tokens, a block of level l is S consecutive blocks of
    level l - 1, and so on until one block covers the text. At every level l >= 1 the siblings,
    the other blocks of level l - 1 inside the own block of level l, are parts. A part's local
    distribution is recursive as well: over its S children, times that inside each child. Causal
    queries see the own block up to themselves, and siblings to the left. The pattern needs a
    static length. Cost: O(T S log_S T).

    Args:
        block_size: int, S, at least 2.

    Raises:
        ValueError: if `block_size` is not an int of at least 2.

    Example:

    >>> Hierarchical(block_size=2).support(length=7)[0]
    Support(direct=(0, 1), parts=((2, 3), ((4, 5), (6,))))

    Source: Ren et al., NeurIPS 2021, the remark in section 3.1.
    """

    def __init__(self, block_size=64):
        blocks.check_size(
            "block_size", block_size, "the number of children of every block", at_least=2
        )
        self.block_size = block_size

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {"block_size": self.block_size}

    def support(self, length, causal=False, choice=None):
        """See `Factorization.support`."""
        size = self.block_size
        levels = [_grouped(range(length), size)]
        while len(levels[-1]) > 1:
            levels.append(_grouped(levels[-1], size))
        supports = []
        for i in range(length):
            direct = tuple(j for j in levels[0][i // size] if j <= i or not causal)
            parts = []
            for level, level_blocks in enumerate(levels[1:], 1):
                own = i // size**level  # the own block of the level below
                parent = own // size
                for child, part in enumerate(level_blocks[parent], parent * size):
                    if child < own or (child > own and not causal):
                        parts.append(part)
            supports.append(Support(direct, tuple(parts)))
        return supports

    def terms(self, tokens, options, learned):
        """See `Factorization.terms`.

        N blocks of S tokens at level 0; M blocks with C children at a level above.
        """
        length = self.static_length(tokens.query)
        size = min(self.block_size, length)
        num_blocks = blocks.count(length, size)
        own = tokens.in_blocks(size)  # [G, N, S, D]
        own_block = np.arange(num_blocks * size) // size
        terms, levels = [block_term(own, options.causal)], []
        if num_blocks > 1 and options.pooling.has_parts:
            levels = self._levels(own, options.pooling)
        for step, parts in enumerate(levels):
            num_parts = ops.shape(parts.key)[1]
            part_mask = parts.mask
            if part_mask is None and num_parts > size and num_parts % size:
                part_mask = ops.ones((1, num_parts), dtype="bool")  # the last has fewer siblings
            key, value, variance, bias, part_mask = (
                self._children_of_blocks(x, step, num_blocks)
                for x in (parts.key, parts.value, parts.variance, parts.bias, part_mask)
            )  # [G, N, C, D], [G, N, C, V], [G, N, C, D], [G, N, C, 1] twice
            bias = None if bias is None else ops.swapaxes(bias, 2, 3)
            mask = self._sibling_mask(step, num_blocks, ops.shape(key)[2], options.causal)
            if part_mask is not None:
                mask = ops.logical_and(ops.swapaxes(part_mask, 2, 3), mask)
            share = functools.partial(self._share, levels[: step + 1], own_block)
            terms.append(part_term(own.query, key, value, mask, bias, share, variance))
        return terms

    def cache_shapes(self, key_dim, value_dim, max_length, pooling):
        """See `DecodingFactorization.cache_shapes`. O(S log_S max_length).

        The tokens of the own block, and at every level the summaries of the children of the block
        that the token lies in.
        """
        size = min(self.block_size, max_length)
        shapes = {"query": (size, key_dim), "key": (size, key_dim), "value": (size, value_dim)}
        level, num_parts = 0, blocks.count(max_length, size)
        while num_parts > 1:
            count = min(num_parts, size)
            prefix = _prefix(level)
            shapes[f"{prefix}query"] = (count, key_dim)
            shapes.update(decoding.part_shapes(count, key_dim, value_dim, pooling, prefix))
            level, num_parts = level + 1, blocks.count(num_parts, size)
        return shapes

    def decode_heads(self, token, cache, position, pooling):
        """See `DecodingFactorization.decode_heads`. O(S log_S max_length).

        The summaries of the blocks that the token lies in are made anew with every token; they
        are attended once it has left them. What is to the right of it, in any of the levels, is
        left from an earlier block, and does not count.
        """
        cache = dict(cache)
        size = cache["key"].shape[1]
        for name in ("query", "key", "value"):
            cache[name] = decoding.write(cache[name], getattr(token, name), position % size)
        here = ops.less_equal(ops.arange(size, dtype="int32"), position % size)
        mask = decoding.as_mask(here)
        terms = [direct_term(token.query, cache["key"], cache["value"], mask)]
        below, level = "", 0
        while pooling.has_parts and f"{_prefix(level)}key" in cache:
            prefix = _prefix(level)
            summarized = decoding.summarize_part(
                cache[f"{below}query"],
                cache[f"{below}key"],
                cache[f"{below}value"],
                here,
                pooling if level == 0 else pooling.of_summaries(),
                bias=cache.get(f"{below}bias"),
                variance=cache.get(f"{below}variance"),
            )
            own = position // size ** (level + 1) % size
            cache.update(decoding.write_part(cache, summarized, own, prefix))
            child = ops.arange(cache[f"{prefix}key"].shape[1], dtype="int32")
            to_the_left = ops.less(child, own)
            terms.append(decoding.cached_part_term(token.query, cache, to_the_left, prefix))
            here = ops.less_equal(child, own)
            below, level = prefix, level + 1
        return terms, cache

    def _levels(self, own, pooling):
        """`Summaries` of the blocks of level 0, of level 1 and so on, except for the topmost block.

        Args:
            own: `blocks.Tokens` in the blocks of level 0.
            pooling: `summaries.Pooling`.
        """
        levels = [summarize(*own, pooling)]
        while ops.shape(levels[-1].key)[1] > self.block_size:
            below, size = levels[-1], self.block_size
            children = Tokens(below.query, below.key, below.value, below.mask).in_blocks(size)
            counts, bias = (_split_row(x, size) for x in (below.counts, below.bias))
            variance = None if below.variance is None else blocks.split(below.variance, size)
            levels.append(summarize(*children, pooling.of_summaries(), counts, bias, variance))
        return levels

    def _children_of_blocks(self, x, step, num_blocks):
        """For every block of level 0, what the children of its ancestor `step + 1` levels up hold.

        Args:
            x: `[G, M, D]`, `[G, M]` or None: what the blocks of level `step` hold.
            step: int.
            num_blocks: int, N.

        Returns:
            `[G, N, C, D]`, or None.
        """
        if x is None:
            return None
        if len(x.shape) == 2:
            x = ops.expand_dims(x, 2)
        num_parts = ops.shape(x)[1]
        x = blocks.split(x, min(self.block_size, num_parts))
        times = num_blocks if num_parts <= self.block_size else self.block_size ** (step + 1)
        return blocks.repeat(x, times, num_blocks)

    def _sibling_mask(self, step, num_blocks, num_children, causal):
        """bool `[1, N, 1, C]`: children of the common ancestor that are not the own one.

        For blocks of 2 and N = 4, at step 0: `[[0 1] [1 0] [0 1] [1 0]]`, causal
        `[[0 0] [1 0] [0 0] [1 0]]`.
        """
        own = np.arange(num_blocks) // self.block_size**step % self.block_size
        own = own.reshape((1, num_blocks, 1, 1))
        child = np.arange(num_children)
        return ops.convert_to_tensor(child < own if causal else child != own)

    def _share(self, levels, own_block, weights):
        """Weights of siblings `[G, N, S, C]` -> of their tokens `[G, N * S, N * S]`.

        Args:
            levels: list of `Summaries`, those of the siblings last, below them all down to level 0.
            own_block: int array `[N * S]`, the block of level 0 that every token lies in.
            weights: float tensor.
        """
        num_tokens = len(own_block)
        num_parts = ops.shape(levels[-1].key)[1]
        parent = own_block // self.block_size ** len(levels)
        num_parents = blocks.count(num_parts, self.block_size)
        weights = scores.place(blocks.join(weights), parent, num_parents)
        for parts in reversed(levels):
            weights = scores.share(weights[:, :, : ops.shape(parts.key)[1]], parts.local_weights)
        return weights[:, :, :num_tokens]


def _prefix(level):
    """Names in the cache what is kept of the blocks of a level."""
    return f"level_{level}_"


def _grouped(items, size):
    """`[a b c]` in groups of 2 -> `[(a, b), (c,)]`."""
    return [tuple(items[i : i + size]) for i in range(0, len(items), size)]


def _split_row(x, size):
    """`[G, M]` -> `[G, M / size, size]`, zeros after the end; None stays None."""
    return None if x is None else ops.squeeze(blocks.split(ops.expand_dims(x, 2), size), 3)
