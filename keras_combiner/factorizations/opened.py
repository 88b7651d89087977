"""Parts that are opened: those that a group of queries attends to most, read token by token.

Legend: G batch * heads, N blocks, S block size, M parts, P tokens a part, R groups of g queries
each, K parts that a group opens, D key dim.
"""

from keras import ops

from keras_combiner.factorizations import blocks
from keras_combiner.factorizations.softmax import unscaled_softmax
from keras_combiner.factorizations.terms import direct_term


def open_parts(direct, parts, tokens, part_size, count, group_size, causal):
    """Terms of queries that read the parts that matter most to their group token by token.

    Bidirectional groups choose for themselves, by the shares of attention that their queries give
    to the parts. So do causal queries alone; a causal group of several would let its last query
    decide what the first one reads, so that the group before it chooses.

    Args:
        direct: list of `terms.Term`, of tokens that are attended one by one anyway: logits
            `[G, N, S, W]`.
        parts: `terms.Term` of all parts: logits `[G, N, S, M]`, mask `[G, N, 1, M]` (G may be 1).
        tokens: `blocks.Tokens` in N blocks of S, what the parts are cut from.
        part_size: int, P, a divisor of S.
        count: int, K.
        group_size: int, g, a divisor of S.
        causal: bool.

    Returns:
        A list of `terms.Term`s, with R groups of g queries in place of N blocks of S: of the
        direct tokens, of the parts that stay closed, and of the tokens of those that are opened.
    """
    num_blocks, size = ops.shape(tokens.query)[1:3]
    *direct, parts = (_in_groups(x, num_blocks, size, group_size) for x in (*direct, parts))
    query = _cut(tokens.query, num_blocks, size, group_size)  # [G, R, g, D]
    counts = None if tokens.mask is None else _cut(tokens.mask, num_blocks, size, group_size)
    choosing = [*direct, parts]
    if causal and group_size > 1:
        choosing = [parts._replace(logits=_of_group_before(parts.logits))]
        counts = None if counts is None else _of_group_before(counts)
    reach = ops.squeeze(parts.mask, 2)  # [G, R, M]
    opened, index, is_open = largest(attention_mass(choosing, counts), reach, count)
    closed = ops.logical_and(reach, ops.logical_not(opened))
    parts = parts._replace(mask=ops.expand_dims(closed, 2))
    return [*direct, parts, opened_term(query, tokens, part_size, index, is_open)]


def attention_mass(terms, counts=None):
    """How much the queries of a group attend to every part, without a gradient.

    Args:
        terms: list of `terms.Term`, the last one of parts: logits `[G, R, g, M]`, or of one group
            `[G, g, M]`.
        counts: bool tensor `[G, R, g]` (G may be 1), true at queries that count, or None for all.

    Returns:
        float32 tensor `[G, R, M]` (`[G, M]`), the weights of the joint softmax over all terms,
        summed over the queries of every group.
    """
    terms = [
        x._replace(
            logits=ops.stop_gradient(x.logits),
            bias=None if x.bias is None else ops.stop_gradient(x.bias),
        )
        for x in terms
    ]
    weights, scale = unscaled_softmax(terms)
    if counts is not None:
        scale = scale * ops.cast(ops.expand_dims(counts, -1), scale.dtype)
    # The sum over queries as a product with their scales: one pass over the weights, not two.
    return ops.squeeze(ops.matmul(ops.swapaxes(scale, -1, -2), weights[-1]), -2)


def largest(mass, reach, count):
    """The parts with the largest mass: of equal ones the earlier, of fewer than K all in reach.

    Args:
        mass: float tensor `[G, R, M]`, at least zero; what is not a number counts as zero.
        reach: bool tensor `[G, R, M]` (G may be 1), true at parts that may be opened.
        count: int, K.

    Returns:
        `(opened, index, is_open)`: bool tensor `[G, R, M]`, true at the parts that are opened;
        their numbers, int32 `[G, R, K]`, ascending and less than M; and bool `[G, R, K]`, true
        where there is such a part. K is M where that is known to be less.
    """
    num_parts = ops.shape(mass)[2]
    number = ops.arange(num_parts, dtype="int32")
    mass = ops.where(mass >= 0, mass, ops.zeros_like(mass))
    mass = ops.where(reach, mass, -ops.ones_like(mass))
    count = min(count, num_parts) if isinstance(num_parts, int) else count
    # Backends differ in which of equal values `top_k` returns, so that it says which value is the
    # least that is opened, and then sorts numbers, which are never equal.
    least = ops.top_k(_at_least(mass, count, -1.0), count)[0][:, :, -1:]
    above = ops.cast(mass > least, "int32")
    equal = ops.cast(ops.logical_and(reach, ops.equal(mass, least)), "int32")
    room = count - ops.sum(above, axis=2, keepdims=True)
    opened = ops.logical_or(
        above > 0, ops.logical_and(equal > 0, ops.cumsum(equal, axis=2) <= room)
    )
    key = ops.where(opened, num_parts - number, 0)
    key, index = ops.top_k(_at_least(key, count, 0), count)
    return opened, ops.minimum(ops.cast(index, "int32"), num_parts - 1), key > 0


def _at_least(x, count, fill):
    """`[G, R, M]` -> at least `[G, R, count]`, where M is not known before there is data."""
    size = ops.shape(x)[2]
    if isinstance(size, int):
        return x
    missing = ops.maximum(count - size, 0)
    return ops.pad(x, [[0, 0], [0, 0], [0, missing]], constant_values=fill)


def opened_term(query, tokens, part_size, index, is_open):
    """`terms.Term` of the tokens of opened parts: logits `[G, R, g, K * P]`.

    Args:
        query: float tensor `[G, R, g, D]`.
        tokens: `blocks.Tokens` in blocks that parts are cut from.
        part_size: int, P.
        index: int32 tensor `[G, R, K]`, the parts of every group.
        is_open: bool tensor `[G, R, K]`.
    """
    heads, num_groups, group_size, _ = ops.shape(query)
    num_blocks, size = ops.shape(tokens.key)[1:3]
    num_parts = num_blocks * (size // part_size)
    count = index.shape[2]
    width = count * part_size

    def take(x):  # [G, N, S, ...] -> [G, R, K * P, ...]
        features = ops.shape(x)[3:]
        x = ops.reshape(x, (heads, num_parts, *_row(part_size, features)))
        x = blocks.take(x, ops.reshape(index, (heads, num_groups * count)))
        return ops.reshape(x, (heads, num_groups, width, *features))

    mask = ops.expand_dims(is_open, 3)
    mask = ops.broadcast_to(mask, (heads, num_groups, count, part_size))
    mask = ops.reshape(mask, (heads, num_groups, width))
    if tokens.mask is not None:
        counts = ops.broadcast_to(tokens.mask, (heads, num_blocks, size))
        mask = ops.logical_and(mask, take(counts))

    def scores(weights):  # [G, R, g, K * P] -> [G, T, M * P]
        every = ops.reshape(ops.arange(num_parts, dtype="int32"), (1, 1, num_parts))
        total = 0.0
        for k in range(count):
            here = ops.cast(ops.equal(index[:, :, k : k + 1], every), weights.dtype)
            here = ops.repeat(here, group_size, axis=1)  # [G, T, M]
            inside = blocks.join(weights[:, :, :, k * part_size : (k + 1) * part_size])
            total = total + ops.expand_dims(here, 3) * ops.expand_dims(inside, 2)
        length = num_groups * group_size
        return ops.reshape(total, (heads, length, num_parts * part_size))

    return direct_term(
        query, take(tokens.key), take(tokens.value), ops.expand_dims(mask, 2), scores
    )


def _row(part_size, features):
    """What a part holds in one row, so that it is copied at once: `[P]` or `[P * D]`."""
    return (part_size * features[0],) if features else (part_size,)


def _cut(x, num_blocks, size, group_size):
    """`[G, N, S, ...]` -> `[G, R, g, ...]`."""
    heads, *_ = shape = ops.shape(x)
    return ops.reshape(x, (heads, num_blocks * (size // group_size), group_size, *shape[3:]))


def _in_groups(term, num_blocks, size, group_size):
    """`terms.Term` of queries in N blocks of S -> in R groups of g."""
    if size == group_size:
        return term
    term = term.laid_out(
        lambda x: _cut(x, num_blocks, size, group_size),
        lambda x: blocks.cut(blocks.join(x), num_blocks, size),
    )
    if term.mask is None:
        return term
    heads, _, rows, columns = ops.shape(term.mask)
    mask = ops.broadcast_to(term.mask, (heads, num_blocks, rows, columns))
    if rows == 1:
        return term._replace(mask=ops.repeat(mask, size // group_size, axis=1))
    return term._replace(mask=_cut(mask, num_blocks, size, group_size))


def _of_group_before(x):
    """`[G, R, ...]` -> `[G, R, ...]`: zeros (False), then all groups but the last."""
    shape = ops.shape(x)
    x = ops.pad(x, [[0, 0], [1, 0]] + [[0, 0]] * (len(shape) - 2))
    return x[:, : shape[1]]
