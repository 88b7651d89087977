"""The plan "fixed": the own block directly, every other block as a whole."""

import math

import keras
from keras import ops

from keras_combiner.factorizations import blocks, decoding, fixed_layout, opened, scores
from keras_combiner.factorizations.blocks import Tokens
from keras_combiner.factorizations.decoding import DecodingFactorization
from keras_combiner.factorizations.factorization import Support
from keras_combiner.factorizations.summaries import summarize
from keras_combiner.factorizations.terms import direct_term, part_term


@keras.saving.register_keras_serializable(package="keras_combiner")
class Fixed(DecodingFactorization):
    """Attends to the own block token by token, and to every other block through its summary.

    The sequence is cut into N = ceil(T / S) blocks of S tokens, the last of which may be short.
    Bidirectional queries see all blocks; causal ones the own block up to themselves, and the blocks
    before it. A block at least as long as the text makes all of it direct, which is plain softmax
    attention. Four refinements of the paper's plan cost more and come closer to softmax attention:
    direct neighbor blocks, direct first blocks (the beginning of a text often says what it is
    about), summaries of parts finer than a block, and parts that are opened. Cost, with P tokens a
    part, K neighbors, F first blocks and X opened parts: O(T ((1 + 2K + F) S + X P + T / P)), which
    by default is O(T (S + N)), or O(T sqrt(T)) for S near sqrt(T).

    An opened part is read token by token, and not through its summary: every group of g consecutive
    queries opens the X parts beyond its direct blocks that it attends to most, by their summaries;
    all others stay closed. The choice has no gradient. Causal groups of several queries open what
    the group before them attends to most, so that nothing after a query decides what it reads; with
    g = 1 every query chooses for itself. Where X is at least the number of parts in reach (causal:
    with g = 1), this is softmax attention. Where two parts are attended to almost equally, rounding
    decides which is opened: backends may choose differently there, and return different outputs.
    With `summary="none"` no part is opened.

    Args:
        block_size: int, S, at least 1.
        part_size: int, P, a divisor of `block_size`: blocks that are not direct are summarized as
            S / P parts of P tokens each. `block_size` if None.
        neighbors: int, K, at least 0: number of blocks on each side of the own one (causal: on
            the left) that are attended directly as well.
        opened: int, X, at least 0: number of parts that a group of queries opens.
        choice_size: int, g, a divisor of `block_size`: number of consecutive queries that open the
            same parts. `block_size` if None. Only where parts are opened.
        first_blocks: int, F, at least 0: number of blocks at the beginning of the sequence that
            every query (causal: every later one) attends to directly as well. Padding before a text
            stands there too, in place of its tokens.

    Raises:
        ValueError: if `block_size` is not an int of at least 1, `part_size` or `choice_size` does
            not divide it, `neighbors`, `opened` or `first_blocks` is not an int of at least 0, or a
            `choice_size` is given where no part is opened.

    Example:

    >>> Fixed(block_size=2).support(length=5, causal=True)[4]
    Support(direct=(4,), parts=((0, 1), (2, 3)))
    >>> Fixed(block_size=2, part_size=1, neighbors=1).support(length=5, causal=True)[4]
    Support(direct=(2, 3, 4), parts=((0,), (1,)))
    >>> plan = Fixed(block_size=2, opened=1)
    >>> plan.support(length=5, causal=True, choice=[[], [0], [1]])[4]
    Support(direct=(2, 3, 4), parts=((0, 1),))
    >>> Fixed(block_size=2, first_blocks=1).support(length=7, causal=True)[6]
    Support(direct=(0, 1, 6), parts=((2, 3), (4, 5)))

    Source: Ren et al., NeurIPS 2021, section 4.1 (Combiner-Fixed). First blocks: the global
    tokens of Beltagy et al., "Longformer: The Long-Document Transformer", 2020, section 3.1.
    """

    any_length = True

    def __init__(
        self,
        block_size=64,
        part_size=None,
        neighbors=0,
        opened=0,
        choice_size=None,
        first_blocks=0,
    ):
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
        blocks.check_size(
            "first_blocks",
            first_blocks,
            "the number of blocks at the beginning that are attended directly as well",
            at_least=0,
        )
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
        self.first_blocks = first_blocks

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {
            "block_size": self.block_size,
            "part_size": self.part_size,
            "neighbors": self.neighbors,
            "opened": self.opened,
            "choice_size": self.choice_size,
            "first_blocks": self.first_blocks,
        }

    @property
    def chooses(self):
        """See `Factorization`: "parts" where some are opened."""
        return "parts" if self.opened else None

    def is_full_attention(self, length):
        """See `Factorization.is_full_attention`."""
        reach = max(self.neighbors + 1, self.first_blocks) * self.block_size
        return isinstance(length, int) and length <= reach

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
            is_direct = [
                abs(away[j]) <= self.neighbors or j // size < self.first_blocks
                for j in range(length)
            ]
            direct = [j for j in range(length) if is_direct[j]]
            parts = [part for part in all_parts if not is_direct[part[0]]]
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

        N blocks of S tokens, each with W = (1 + 2K) S direct keys, causal (1 + K) S; M parts of P
        tokens.
        """
        length = ops.shape(tokens.query)[1]
        # Where all tokens are direct, one block holds them all.
        size = length if self.is_full_attention(length) else self.block_size
        num_blocks = blocks.count(length, size)
        one_block = isinstance(num_blocks, int) and num_blocks == 1
        before = 0 if one_block else self.neighbors
        first_blocks = 0 if one_block else self.first_blocks
        after = 0 if options.causal else before
        part_size = size if one_block or self.part_size is None else self.part_size
        own = tokens.in_blocks(size)
        query, key, value, mask = own  # [G, N, S, D], mask [G, N, S] or None

        parts = None
        pooling = options.pooling
        if pooling.has_parts and not one_block:
            parts = summarize(*own.map(lambda x: fixed_layout.split_blocks(x, part_size)), pooling)
        # Masked keys that are averages of those that count: no query prefers them to all of these.
        masked_are_averages = parts is not None and pooling.averages and not options.causal
        if masked_are_averages and mask is not None:
            parts, key = fixed_layout.fill_masked_keys(parts, key, mask)
        direct = direct_term(
            query,
            blocks.with_neighbors(key, before, after),  # [G, N, W, D]
            blocks.with_neighbors(value, before, after),
            fixed_layout.direct_mask(mask, num_blocks, size, before, after, options.causal),
            lambda weights: fixed_layout.direct_scores(weights, num_blocks, size, before, after),
            masked_cannot_dominate=masked_are_averages and not before,  # zeros beyond the ends
        )
        direct = [direct]
        if first_blocks:
            own = own._replace(key=key)
            direct.append(
                fixed_layout.first_term(
                    own, first_blocks, before, options.causal, masked_are_averages
                )
            )
        if parts is None:
            return direct
        # All queries of a head share the parts, so that one product of rank 3 serves all blocks.
        part = part_term(
            blocks.join(query),
            parts.key,
            parts.value,
            fixed_layout.part_mask(
                parts.mask, num_blocks, size // part_size, before, first_blocks, options.causal
            ),
            None if parts.bias is None else ops.expand_dims(ops.expand_dims(parts.bias, 1), 1),
            lambda weights: scores.share(weights, parts.local_weights),
            parts.variance,
            masked_cannot_dominate=masked_are_averages,
        )
        part = part.laid_out(lambda x: blocks.cut(x, num_blocks, size), blocks.join)
        if not self.opened:
            return [*direct, part]
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
        """See `DecodingFactorization.cache_shapes`. O((1 + K + F) S + max_length / P).

        The keys and values of the own block, its neighbors and the first blocks, the queries of the
        own part, and the summaries of all parts. Where parts are opened, all keys and values, since
        any may be read again, and the queries of the group that chooses: O(max_length).
        """
        if self.is_full_attention(max_length):
            return {"key": (max_length, key_dim), "value": (max_length, value_dim)}
        near = (1 + self.neighbors) * self.block_size
        shapes = {"key": (near, key_dim), "value": (near, value_dim)}
        part_size = self.part_size or self.block_size
        num_parts = blocks.count(max_length, part_size)
        num_queries = part_size
        if self.opened and pooling.has_parts:
            every = num_parts * part_size
            shapes = {"key": (every, key_dim), "value": (every, value_dim)}
            if self._group_size > 1:  # the own group and the one before: no read wraps around
                num_queries = math.lcm(part_size, 2 * self._group_size)
        elif self.first_blocks:
            first = self.first_blocks * self.block_size
            shapes |= {"first_key": (first, key_dim), "first_value": (first, value_dim)}
        return {
            **shapes,
            "query": (num_queries, key_dim),
            **decoding.part_shapes(num_parts, key_dim, value_dim, pooling),
        }

    def decode_heads(self, token, cache, position, pooling):
        """See `DecodingFactorization.decode_heads`. O((1 + K + F) S + max_length / P).

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
        if "first_key" in cache:
            for name, entry in (("first_key", token.key), ("first_value", token.value)):
                cache[name] = decoding.write_if_early(cache[name], entry, position)
        direct = self._direct_terms(token.query, cache, position)
        if not pooling.has_parts or "query" not in cache:
            return direct, cache
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
        number = ops.arange(num_parts, dtype="int32")
        is_far = ops.less(number, self._first_near(position) // part_size)
        if self.first_blocks:
            is_first = ops.less(number, self.first_blocks * self.block_size // part_size)
            is_far = ops.logical_and(is_far, ops.logical_not(is_first))
        terms = [*direct, decoding.cached_part_term(token.query, cache, is_far)]
        if self.opened:
            terms = self._open_cached(terms, token.query, cache, position)
        return terms, cache

    @property
    def _group_size(self):
        return self.choice_size or self.block_size

    def _first_near(self, position):
        """The first token that the one at `position` attends to directly."""
        return ops.maximum(position // self.block_size - self.neighbors, 0) * self.block_size

    def _direct_terms(self, query, cache, position):
        """`terms.Term`s of the tokens in the cache that a query `[G, 1, D]` attends to anyway."""
        key, value = cache["key"], cache["value"]
        num_slots = key.shape[1]
        slots = ops.arange(num_slots, dtype="int32")
        if "query" not in cache:  # all of them
            mask = decoding.as_mask(ops.less_equal(slots, position))
            return [direct_term(query, key, value, mask)]
        near = (1 + self.neighbors) * self.block_size
        first_near = self._first_near(position)
        if near < num_slots:  # all tokens are kept, in their places
            start = ops.minimum(first_near, num_slots - near)
            key, value = (decoding.read(x, start, near) for x in (key, value))
            kept = start + ops.arange(near, dtype="int32")
        else:
            kept = position - (position - slots) % num_slots  # in each slot
        is_near = ops.logical_and(
            ops.greater_equal(kept, first_near), ops.less_equal(kept, position)
        )
        found = [direct_term(query, key, value, decoding.as_mask(is_near))]
        if self.first_blocks:
            size = self.first_blocks * self.block_size
            key = cache.get("first_key", cache["key"])[:, :size]
            value = cache.get("first_value", cache["value"])[:, :size]
            is_far = ops.less(ops.arange(size, dtype="int32"), first_near)
            found.append(direct_term(query, key, value, decoding.as_mask(is_far)))
        return found

    def _open_cached(self, terms, query, cache, position):
        """As `opened.open_parts`, for one token and what the cache holds."""
        *direct, parts = choosing = terms
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
        return [*direct, parts._replace(mask=closed), found]


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
