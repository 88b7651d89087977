"""Byte pairs merged in the order of their ranks, inside the TensorFlow graph."""

import functools

import numpy as np
import tensorflow as tf

# Above every rank: what is never merged.
_NEVER = 2**31 - 1
# How many neighbors in a row are asked whether they get in a merge's way. With 4, the longest words
# of random letters are done in a tenth of the rounds that 1 needs; 8 saves none.
_NEIGHBORS = 4


class BytePairMerges:
    """Cuts words into byte pairs: bytes at first, of which the lowest-ranked pair is merged, again
    and again, and of equal ranks the one further left.

    One merge after another takes time that grows with the square of a word's length. Here a round
    merges, in all words at once, every pair that nothing can get in the way of. What could is a
    merge of lower rank that takes its left symbol away to the left, or its right one to the right:

    - `a|b|c`, where `bc` is to be merged: `b` is taken by `ab`, or by some `Xb`, where X is what
      `a` has become the end of. Tables list the lowest rank of both for every pair `a b`.
    - `a` becomes the end of X only if it is itself taken by what stands left of it, at a rank below
      that of `Xb`. So the bound for `b` follows from the one for `a`, whose bound follows from that
      of its left neighbor; bounds are a bit low where not all of these are asked, and never high.

    And the lowest pair of every word is merged whatever the bounds are, so that each round gets
    somewhere. About ten rounds are enough for words of 100,000 random letters, each over a shorter
    row than the one before: the time is linear.

    All of this holds if no merge has a lower rank than one that makes a part of it. Learned merges
    have that order, and others are refused.

    Args:
        vocabulary: list of str, a token's id being its index, in the alphabet of `byte_alphabet`;
            all 256 bytes are among them.
        merges: list of pairs of str, the lowest rank first.

    Raises:
        ValueError: if a byte, a part of a merge or what it makes is not in the vocabulary, a merge
            comes twice, or stands before one that makes a part of it.

    Example:

    >>> vocabulary = [*byte_alphabet(), "ab", "abc"]
    >>> merges = BytePairMerges(vocabulary, [("a", "b"), ("ab", "c")])
    >>> merges(tf.constant(["abcab", "b"])).to_list()
    [[257, 256], [98]]

    Source: Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", 2016,
    https://arxiv.org/abs/1508.07909; of bytes: Radford et al., "Language Models are Unsupervised
    Multitask Learners", 2019.
    """

    def __init__(self, vocabulary, merges):
        ids = {token: i for i, token in enumerate(vocabulary)}
        missing = [x for x in byte_alphabet() if x not in ids]
        if missing:
            raise ValueError(
                "Expected the vocabulary to hold all 256 bytes, so that every text has ids. It "
                f"lacks {len(missing)} of them, in GPT-2's alphabet: {' '.join(missing[:10])}."
            )
        left, right, made = _as_ids(merges, ids)
        _check_order(left, right, made, vocabulary)
        keys, ranks = _pair_table(left, right, made, len(vocabulary))
        with tf.init_scope():  # it may be made while a function is traced, and must outlive that
            self._bytes = tf.constant([ids[x] for x in byte_alphabet()], tf.int32)
            self._keys = tf.constant(keys, tf.int64)
            self._ranks = tf.constant(ranks, tf.int32)
            # What a rank makes; and one that is never asked for, where there are no merges.
            self._made = tf.constant([*made, 0], tf.int32)
        self._vocabulary_size = len(vocabulary)

    def __call__(self, words):
        """Cuts words into byte pairs.

        Args:
            words: tf.string tensor `[num_words]`, of any bytes.

        Returns:
            tf.RaggedTensor of int32 `[num_words, None]`, the ids of each word.
        """
        num_bytes = tf.strings.length(words)
        content = tf.io.decode_raw(tf.strings.reduce_join(words), tf.uint8)
        symbols = tf.gather(self._bytes, tf.cast(content, tf.int32))
        rows = tf.repeat(tf.range(tf.size(words)), num_bytes)
        symbols, rows, _ = tf.while_loop(
            lambda symbols, rows, more: more,
            lambda symbols, rows, more: self._merge(symbols, rows),
            (symbols, rows, tf.size(symbols) > 1),
            shape_invariants=(tf.TensorShape([None]), tf.TensorShape([None]), tf.TensorShape([])),
        )
        return tf.RaggedTensor.from_value_rowids(
            symbols, tf.cast(rows, tf.int64), nrows=tf.size(words, tf.int64), validate=False
        )

    def _merge(self, symbols, rows):
        """One round: symbols `[n]` of words `[n]` -> the same of fewer, and whether there were."""
        rank, left_rank, right_rank = self._look_up(symbols, rows)
        place = tf.range(tf.size(rank))
        taken_by_left = _bound(rank, left_rank)
        taken_by_right = tf.reverse(_bound(*(tf.reverse(x, [0]) for x in (rank, right_rank))), [0])
        lowest = tf.gather(tf.math.segment_min(rank, rows[:-1]), rows[:-1])
        # `aaaa` is `aa aa`: of a run of equal pairs, which overlap, every other one is merged.
        is_first = rank != _before(rank, -1)
        run = tf.cumsum(tf.cast(is_first, tf.int32)) - 1
        is_first_left = (place - tf.gather(tf.boolean_mask(place, is_first), run)) % 2 == 0
        is_candidate = is_first_left & (rank < _NEVER)
        # Equal ranks: what stands further left comes first. Within a run, that is the run itself.
        is_free = (rank < _before(taken_by_left, _NEVER)) | ~is_first
        is_free &= rank <= _after(taken_by_right, _NEVER)
        is_free |= rank == lowest
        # One that has to wait makes all that follow it in its run wait.
        waiting = tf.where(is_candidate & ~is_free, place, _NEVER)
        merged = is_candidate & (place < tf.gather(tf.math.segment_min(waiting, run), run))
        made = tf.gather(self._made, tf.where(merged, rank, tf.size(self._made) - 1))
        symbols = tf.concat([tf.where(merged, made, symbols[:-1]), symbols[-1:]], axis=0)
        stays = tf.concat([[True], ~merged], axis=0)
        symbols, rows = (tf.boolean_mask(x, stays) for x in (symbols, rows))
        return symbols, rows, tf.reduce_any(merged) & (tf.size(symbols) > 1)

    def _look_up(self, symbols, rows):
        """Ranks `[n - 1]` of neighbors: of their merge, and of those that `_pair_table` says."""
        pairs = tf.cast(symbols[:-1], tf.int64) * self._vocabulary_size
        pairs += tf.cast(symbols[1:], tf.int64)
        found = tf.minimum(tf.searchsorted(self._keys, pairs), tf.size(self._keys) - 1)
        is_known = (tf.gather(self._keys, found) == pairs) & (rows[:-1] == rows[1:])
        ranks = tf.where(is_known[:, tf.newaxis], tf.gather(self._ranks, found), _NEVER)
        return tf.unstack(ranks, num=3, axis=1)


def _bound(rank, grown_rank):
    """At what rank, at least, each pair's second symbol is taken by its left neighbor.

    Args:
        rank: int32 `[n]`, of the pair itself.
        grown_rank: int32 `[n]`, the lowest of those whose left part ends in the first symbol.

    Returns:
        int32 `[n]`.
    """
    bound = tf.minimum(rank, grown_rank)
    for _ in range(_NEIGHBORS):
        neighbor = _before(bound, _NEVER)
        # The first symbol has to grow before, at the neighbor's bound or later.
        is_possible = (grown_rank < _NEVER) & (neighbor < _NEVER)
        grown = tf.maximum(grown_rank, tf.minimum(neighbor, _NEVER - 1) + 1)
        bound = tf.minimum(rank, tf.where(is_possible, grown, _NEVER))
    return bound


def _before(x, first):
    """`[1 2 3]` -> `[first 1 2]`."""
    return tf.concat([[first], x[:-1]], axis=0)


def _after(x, last):
    """`[1 2 3]` -> `[2 3 last]`."""
    return tf.concat([x[1:], [last]], axis=0)


@functools.cache
def byte_alphabet():
    """GPT-2's letters for the 256 bytes, so that vocabularies are text without white space.

    A printable byte is the character of its number; the others, from 256 on, in their order.

    Returns:
        Tuple of 256 str.

    Example:

    >>> byte_alphabet()[ord("a")], byte_alphabet()[ord(" ")], byte_alphabet()[ord("\\n")]
    ('a', 'Ġ', 'Ċ')
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(x if x in printable else next(others)) for x in range(256))


def _as_ids(merges, ids):
    """Three lists of int: the left parts of the merges, the right ones, and what they make."""
    columns = [], [], []
    ranks = {}
    for rank, (left, right) in enumerate(merges):
        for column, token in zip(columns, (left, right, left + right), strict=True):
            if token not in ids:
                raise ValueError(
                    f"Expected the vocabulary to hold {token!r}, of the merge {left!r} {right!r} "
                    f"(rank {rank}). It does not."
                )
            column.append(ids[token])
        if ranks.setdefault((left, right), rank) != rank:
            raise ValueError(
                f"Expected every merge once. Received {left!r} {right!r} with the ranks "
                f"{ranks[left, right]} and {rank}."
            )
    return columns


def _check_order(left, right, made, vocabulary):
    last_made = {token: rank for rank, token in enumerate(made)}
    for rank, parts in enumerate(zip(left, right, strict=True)):
        for part in parts:
            if last_made.get(part, -1) >= rank:
                raise ValueError(
                    "Expected merges in the order in which they are learned. The one of rank "
                    f"{rank} has the part {vocabulary[part]!r}, which rank {last_made[part]} makes."
                )


def _pair_table(left, right, made, vocabulary_size):
    """What is known of pairs of symbols, in the order of their keys.

    Returns:
        `(keys, ranks)`: int64 `[pairs]`, `first * vocabulary_size + second`; and int32 `[pairs, 3]`
        for each: the rank of its merge; the lowest rank of a merge of a longer symbol, which ends
        in the first, with the second; and of the first with a longer one that begins with the
        second. Never, where there is none.
    """
    ends, beginnings = {}, {}
    pairs, columns, ranks = [], [], []

    def add(column, rank, first, second):
        pairs.append(first * vocabulary_size + second)
        columns.append(column)
        ranks.append(rank)

    for rank, (first, second, whole) in enumerate(zip(left, right, made, strict=True)):
        add(0, rank, first, second)
        for end in ends.get(first, ()):
            add(1, rank, end, second)
        for beginning in beginnings.get(second, ()):
            add(2, rank, first, beginning)
        ends.setdefault(whole, []).extend([second, *ends.get(second, ())])
        beginnings.setdefault(whole, []).extend([first, *beginnings.get(first, ())])
    # A pair that is not there, so that there is one to look at where there are no merges.
    keys, rows = np.unique(np.array([*pairs, -1], "int64"), return_inverse=True)
    table = np.full([len(keys), 3], _NEVER, "int32")
    np.minimum.at(table, (rows[:-1], np.array(columns, int)), np.array(ranks, "int32"))
    return keys, table
