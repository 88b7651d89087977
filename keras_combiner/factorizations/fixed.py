"""The plan "fixed": the own block directly, every other block as a whole."""

import math

import keras
from keras import ops

from keras_combiner.factorizations import blocks, decoding, opened, precision, scores
from keras_combiner.factorizations.blocks import Tokens
from keras_combiner.factorizations.decoding import DecodingFactorization
from keras_combiner.factorizations.factorization import Support
from keras_combiner.factorizations.summaries import summarize
from keras_combiner.factorizations.terms import direct_term, part_term


@keras.saving.register_keras_serializable(package="keras_combiner")
class Fixed(DecodingFactorization):
    """Attends to the own block token by token, and to every other block through its summary.

    The sequence is cut into N = ceil(T / S) blocks of S tokens, the last of which may be short.
    Bidirectional queries see all blocks; causal ones the own block up to themselves, and the
    blocks before it. A block at least as long as the text makes all of it direct, which is plain
    softmax attention. Three refinements of the paper's plan trade cost for closeness to it: direct
    neighbor blocks, summaries of parts finer than a block, and parts that are opened. Cost, with P
    tokens a part, K neighbors and X opened parts: O(T ((1 + 2K) S + X P + T / P)), which by default
    is O(T (S + N)), or O(T sqrt(T)) for S near sqrt(T).

    What a summary cannot tell is read token by token where parts are opened: every group of g
    consecutive queries opens the X parts beyond its direct blocks that it attends to most, by their
    summaries; all others stay closed. The choice has no gradient. Causal groups of several queries
    open what the group before them attends to most, so that nothing after a query decides what it
    reads; with g = 1 every query chooses for itself. Where X is at least the number of parts in
    reach (causal: with g = 1), this is softmax attention. Close calls may go otherwise where sums
    are rounded otherwise, such as under another backend, and outputs differ there. `summary="none"`
    leaves nothing to choose by: no part is opened.

    Args:
        block_size: int, S, at least 1.
        part_size: int, P, a divisor of `block_size`: blocks that are not direct are summarized as
            S / P parts of P tokens each. As a whole if None.
        neighbors: int, K, at least 0: number of blocks on each side of the own one (causal: on
            the left) that are attended directly as well.
        opened: int, X, at least 0: number of parts that a group of queries opens.
        choice_size: int, g, a divisor of `block_size`: number of consecutive queries that open the
            same parts. `block_size` if None. Only where parts are opened.

    Raises:
        ValueError: if `block_size` is not an int of at least 1, `part_size` or `choice_size` does
            not divide it, `neighbors` or `opened` is not an int of at least 0, or a `choice_size`
            is given where no part is opened.

    Example:

    >>> Fixed(block_size=2).support(length=5, causal=True)[4]
    Support(direct=(4,), parts=((0, 1), (2, 3)))
    >>> Fixed(block_size=2, part_size=1, neighbors=1).support(length=5, causal=True)[4]
    Support(direct=(2, 3, 4), parts=((0,), (1,)))
    >>> plan = Fixed(block_size=2, opened=1)
    >>> plan.support(length=5, causal=True, choice=[[], [0], [1]])[4]
    Support(direct=(2, 3, 4), parts=((0, 1),))

    Source: Ren et al., NeurIPS 2021, section 4.1 (Combiner-Fixed).
    """

    any_length = True

    def __init__(self, block_size=64, part_size=None, neighbors=0, opened=0, choice_size=None):
        blocks.check_size(
            "block_size", block_size, "the number of tokens that attend to each other directly"
        )
        _check_divisor("part_size", part_size, block_size, "parts")
        _check_divisor("choice_size", choice_size, block_size, "groups of queries")
        blocks.check_size(
            "neighbors",
            neighbors,
            "the number of blocks on each side that are attended directly as well",
            at_least=0,
        )
        blocks.check_size("opened", opened, "the number of parts that a group opens", at_least=0)
        if choice_size is not None and not opened:
            raise ValueError(
                "`choice_size` is the number of queries that open the same parts, of which there "
                f"are none. Give `opened` as well. Received: choice_size={choice_size}, opened=0."
            )
        self.block_size = block_size
        self.part_size = part_size
        self.neighbors = neighbors
        self.opened = opened
        self.choice_size = choice_size

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {
            "block_size": self.block_size,
            "part_size": self.part_size,
            "neighbors": self.neighbors,
            "opened": self.opened,
            "choice_size": self.choice_size,
        }

    @property
    def chooses(self):
        """See `Factorization`: "parts" where some are opened."""
        return "parts" if self.opened else None

    def is_full_attention(self, length):
        """See `Factorization.is_full_attention`."""
        return isinstance(length, int) and length <= (self.neighbors + 1) * self.block_size

    def support(self, length, causal=False, choice=None):
        """See `Factorization.support`.

        Args:
            length: int, number of tokens.
            causal: bool, whether a query sees only itself and the past.
            choice: sequence with a sequence of ints for every group of `choice_size` queries, the
                numbers of the parts that it opens, all in its reach; the first `opened` in its
                reach if None. The parts are numbered from the start of the text.
        """
        size, part_size = self.block_size, self.part_size or self.block_size
        all_parts = [
            tuple(range(s, min(s + part_size, length))) for s in range(0, length, part_size)
        ]
        supports = []
        for i in range(length):
            # How many blocks a position lies to the right of the query's.
            away = [j // size - i // size for j in range(length)]
            direct = [j for j in range(length) if abs(away[j]) <= self.neighbors]
            parts = [part for part in all_parts if abs(away[part[0]]) > self.neighbors]
            if causal:
                direct = [j for j in direct if j <= i]
                parts = [part for part in parts if away[part[0]] < 0]
            if choice is None:
                opened_parts = parts[: self.opened]
            else:
                group = i // (self.choice_size or size)
                opened_parts = [all_parts[number] for number in choice[group]]
            direct = sorted(direct + [j for part in opened_parts for j in part])
            parts = [part for part in parts if part not in opened_parts]
            supports.append(Support(tuple(direct), tuple(parts)))
        return supports

    def terms(self, tokens, options, learned):
        """See `Factorization.terms`.

        N blocks of S tokens, each with W = S, or (1 + 2K) S, direct keys; M parts of P tokens.
        """
        length = ops.shape(tokens.query)[1]
        # Where no block is beyond reach, one block does.
        size = length if self.is_full_attention(length) else self.block_size
        num_blocks = blocks.count(length, size)
        one_block = isinstance(num_blocks, int) and num_blocks == 1
        before = 0 if one_block else self.neighbors
        after = 0 if options.causal else before
        part_size = size if one_block or self.part_size is None else self.part_size
        own = tokens.in_blocks(size)
        query, key, value, mask = own  # [G, N, S, D], mask [G, N, S] or None

        parts = None
        pooling = options.pooling
        if pooling.has_parts and not one_block:
            parts = summarize(*own.map(lambda x: _split_blocks(x, part_size)), pooling)
        # Masked keys that are averages of those that count: no query prefers them to all of these.
        masked_are_averages = parts is not None and pooling.averages and not options.causal
        if masked_are_averages and mask is not None:
            parts, key = _fill_masked_keys(parts, key, mask)
        direct = direct_term(
            query,
            blocks.with_neighbors(key, before, after),  # [G, N, W, D]
            blocks.with_neighbors(value, before, after),
            _direct_mask(mask, num_blocks, size, before, after, options.causal),
            lambda weights: _direct_scores(weights, num_blocks, size, before, after),
            masked_cannot_dominate=masked_are_averages and not before,  # zeros beyond the ends
        )
        if parts is None:
            return [direct]
        # All queries of a head share the parts, so that one product of rank 3 serves all blocks.
        part = part_term(
            blocks.join(query),
            parts.key,
            parts.value,
            _part_mask(parts.mask, num_blocks, size // part_size, before, options.causal),
            None if parts.bias is None else ops.expand_dims(ops.expand_dims(parts.bias, 1), 1),
            lambda weights: scores.share(weights, parts.local_weights),
            parts.variance,
            masked_cannot_dominate=masked_are_averages,
        )
        part = part.laid_out(lambda x: blocks.cut(x, num_blocks, size), blocks.join)
        if not self.opened:
            return [direct, part]
        return opened.open_parts(
            direct,
            part,
            own._replace(key=key),
            part_size,
            self.opened,
            self._group_size,
            options.causal,
        )

    def cache_shapes(self, key_dim, value_dim, max_length, pooling):
        """See `DecodingFactorization.cache_shapes`. O((1 + K) S + max_length / P).

        The keys and values of the own block and its neighbors, the queries of the own part, and
        the summaries of all parts. Where parts are opened, all keys and values, since any may be
        read again, and the queries of the group that chooses: O(max_length).
        """
        near = min((1 + self.neighbors) * self.block_size, max_length)
        shapes = {"key": (near, key_dim), "value": (near, value_dim)}
        if near == max_length:
            return shapes
        part_size = self.part_size or self.block_size
        num_parts = blocks.count(max_length, part_size)
        num_queries = part_size
        if self.opened and pooling.has_parts:
            every = num_parts * part_size
            shapes = {"key": (every, key_dim), "value": (every, value_dim)}
            if self._group_size > 1:  # the own group and the one before, from slots without a seam
                num_queries = math.lcm(part_size, 2 * self._group_size)
        return {
            **shapes,
            "query": (num_queries, key_dim),
            **decoding.part_shapes(num_parts, key_dim, value_dim, pooling),
        }

    def decode_heads(self, token, cache, position, pooling):
        """See `DecodingFactorization.decode_heads`. O((1 + K) S + max_length / P).

        Token t is kept in slot t % W of the W that there are. The summary of the own part is made
        anew with every token: it is not attended before the part is complete, and out of reach of
        direct attention. A group of g that chooses does so anew for every token, too: its logits
        are g times as many.
        """
        cache = dict(cache)
        num_slots = cache["key"].shape[1]
        slot = position % num_slots
        cache["key"] = decoding.write(cache["key"], token.key, slot)
        cache["value"] = decoding.write(cache["value"], token.value, slot)
        if not pooling.has_parts or "query" not in cache:
            return [self._near_term(token.query, cache, position)], cache
        part_size = self.part_size or self.block_size
        part = position // part_size
        inside = position % part_size
        num_queries = cache["query"].shape[1]
        cache["query"] = decoding.write(cache["query"], token.query, position % num_queries)
        start = part * part_size
        summarized = decoding.summarize_part(
            decoding.read(cache["query"], start % num_queries, part_size),
            decoding.read(cache["key"], start % num_slots, part_size),
            decoding.read(cache["value"], start % num_slots, part_size),
            ops.less_equal(ops.arange(part_size, dtype="int32"), inside),
            pooling,
        )
        cache.update(decoding.write_part(cache, summarized, part))
        num_parts = cache["part_key"].shape[1]
        is_far = ops.less(
            ops.arange(num_parts, dtype="int32"), self._first_near(position) // part_size
        )
        terms = [
            self._near_term(token.query, cache, position),
            decoding.cached_part_term(token.query, cache, is_far),
        ]
        if self.opened:
            terms = self._open_cached(*terms, token.query, cache, position)
        return terms, cache

    @property
    def _group_size(self):
        return self.choice_size or self.block_size

    def _first_near(self, position):
        """The first token that the one at `position` attends to directly."""
        return ops.maximum(position // self.block_size - self.neighbors, 0) * self.block_size

    def _near_term(self, query, cache, position):
        """`terms.Term` of the tokens in the cache that a query `[G, 1, D]` attends to anyway."""
        key, value = cache["key"], cache["value"]
        num_slots = key.shape[1]
        near = min((1 + self.neighbors) * self.block_size, num_slots)
        first = self._first_near(position)
        if near < num_slots:  # all tokens are kept, in their places
            start = ops.minimum(first, num_slots - near)
            key, value = (decoding.read(x, start, near) for x in (key, value))
            kept = start + ops.arange(near, dtype="int32")
        else:
            slots = ops.arange(num_slots, dtype="int32")
            kept = position - (position - slots) % num_slots  # in each slot
        is_near = ops.logical_and(ops.greater_equal(kept, first), ops.less_equal(kept, position))
        return direct_term(query, key, value, decoding.as_mask(is_near))

    def _open_cached(self, near, parts, query, cache, position):
        """As `opened.open_parts`, for one token and what the cache holds."""
        choosing = [near, parts]
        if self._group_size > 1:
            num_queries = cache["query"].shape[1]
            start = (position // self._group_size - 1) * self._group_size % num_queries
            before = decoding.read(cache["query"], start, self._group_size)
            choosing = [decoding.cached_part_term(before, cache, parts.mask)]
        mass = ops.expand_dims(opened.attention_mass(choosing), 1)  # [G, 1, M]
        is_opened, index, is_open = opened.largest(mass, parts.mask, self.opened)
        closed = ops.logical_and(parts.mask, ops.logical_not(is_opened))
        # One block holds all tokens, one group the query.
        query, key, value = (ops.expand_dims(x, 1) for x in (query, cache["key"], cache["value"]))
        found = opened.opened_term(
            query, Tokens(query, key, value), self.part_size or self.block_size, index, is_open
        )
        found = found._replace(mask=ops.squeeze(found.mask, 1)).laid_out(
            lambda x: ops.squeeze(x, 1), lambda x: ops.expand_dims(x, 1)
        )
        return [near, parts._replace(mask=closed), found]


def _check_divisor(name, size, block_size, what):
    """Raises a ValueError unless `size` is None or an int that divides `block_size`."""
    if size is None:
        return
    blocks.check_size(name, size, "a divisor of `block_size`, or None")
    if block_size % size:
        raise ValueError(
            f"`{name}` must divide `block_size`, so that {what} fit into blocks. "
            f"Received: {name}={size}, block_size={block_size}."
        )


def _split_blocks(x, part_size):
    """`[G, N, S, ...]` -> `[G, M, P, ...]`, blocks cut into parts; None stays None."""
    if x is None:
        return None
    heads, num_blocks, size, *features = ops.shape(x)
    return ops.reshape(x, (heads, num_blocks * (size // part_size), part_size, *features))


def _fill_masked_keys(parts, key, mask):
    """Puts averages in the place of keys that do not count.

    Args:
        parts: `Summaries` of M parts, whose keys are averages.
        key: float tensor `[G, N, S, D]`.
        mask: bool tensor `[G, N, S]` (G may be 1), true at tokens that count.

    Returns:
        `(parts, key)`: parts without a token with the average key of those that have one, and
        tokens that do not count with the key of their part.
    """
    counts = ops.expand_dims(parts.mask, 2)  # [G, M, 1]
    shares = ops.cast(counts, precision.dtype_for(key))
    shares = shares / ops.maximum(ops.sum(shares, axis=1, keepdims=True), 1.0)
    average = ops.sum(parts.key * ops.cast(shares, key.dtype), axis=1, keepdims=True)
    parts = parts._replace(key=ops.where(counts, parts.key, average))
    heads, num_blocks, size, key_dim = ops.shape(key)
    by_part = ops.shape(parts.local_weights)[1:]  # M, P
    key = ops.where(
        ops.reshape(mask, (ops.shape(mask)[0], *by_part, 1)),
        ops.reshape(key, (heads, *by_part, key_dim)),
        ops.expand_dims(parts.key, 2),
    )
    return parts, ops.reshape(key, (heads, num_blocks, size, key_dim))


def _direct_scores(weights, num_blocks, size, before, after):
    """Direct weights `[G, N, S, W]` -> `[G, N * S, N * S]`, zero for tokens out of reach."""
    weights = blocks.join(weights)
    own = ops.arange(num_blocks * size, dtype="int32") // size
    columns = [weights[:, :, k * size : (k + 1) * size] for k in range(before + 1 + after)]
    return sum(scores.place(x, own + (k - before), num_blocks) for k, x in enumerate(columns))


def _direct_mask(mask, num_blocks, size, before, after, causal):
    """Broadcasts to `[G, N, S, W]`: keys that count and, if causal, are not after the query."""
    if mask is None and before:
        mask = ops.ones((1, num_blocks, size), dtype="bool")  # there is nothing beyond the ends
    direct = None
    if mask is not None:
        direct = ops.expand_dims(blocks.with_neighbors(mask, before, after), 2)  # [G, N, 1, W]
    if causal:
        width = (before + 1) * size
        past = ops.tril(ops.ones((size, width), dtype="bool"), k=width - size)
        past = ops.reshape(past, (1, 1, size, width))
        direct = past if direct is None else ops.logical_and(direct, past)
    return direct


def _part_mask(parts_mask, num_blocks, parts_per_block, neighbors, causal):
    """Broadcasts to `[G, N, S, M]`: parts of blocks beyond the neighbors; if causal, earlier ones.

    For three blocks, one part each, no neighbors: bidirectional `[[0 1 1] [1 0 1] [1 1 0]]`,
    causal `[[0 0 0] [1 0 0] [1 1 0]]`.
    """
    num_parts = num_blocks * parts_per_block
    own = ops.reshape(ops.arange(num_blocks, dtype="int32"), (1, num_blocks, 1, 1))
    other = ops.arange(num_parts, dtype="int32") // parts_per_block
    other = ops.reshape(other, (1, 1, 1, num_parts))
    mask = ops.less(other, own - neighbors)
    if not causal:
        mask = ops.logical_or(mask, ops.greater(other, own + neighbors))
    if parts_mask is not None:
        parts_mask = ops.expand_dims(ops.expand_dims(parts_mask, 1), 1)  # [G, 1, 1, M]
        mask = ops.logical_and(mask, parts_mask)
    return mask
