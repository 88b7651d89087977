"""The plan "fixed": the own block directly, every other block as a whole."""

import keras
from keras import ops

from keras_combiner.factorizations import blocks
from keras_combiner.factorizations.factorization import Factorization, Support
from keras_combiner.factorizations.softmax import joint_softmax
from keras_combiner.factorizations.summaries import summarize


@keras.saving.register_keras_serializable(package="keras_combiner")
class Fixed(Factorization):
    """Attends to the own block token by token, and to every other block through its summary.

    The sequence is cut into N = ceil(T / S) blocks of S tokens, the last of which may be short.
    Bidirectional queries see all blocks; causal ones the own block up to themselves, and the
    blocks before it. A block at least as long as the text makes all of it direct, which is plain
    softmax attention. Cost: O(T (S + N)), which is O(T sqrt(T)) for S near sqrt(T).

    Args:
        block_size: int, S, at least 1.

    Raises:
        ValueError: if `block_size` is not an int of at least 1.

    Example:

    >>> Fixed(block_size=2).support(length=5, causal=True)[4]
    Support(direct=(4,), parts=((0, 1), (2, 3)))

    Source: Ren et al., NeurIPS 2021, section 4.1 (Combiner-Fixed).
    """

    def __init__(self, block_size=64):
        if isinstance(block_size, bool) or not isinstance(block_size, int) or block_size < 1:
            raise ValueError(
                "`block_size` must be an int of at least 1, the number of tokens that attend to "
                f"each other directly. Received: block_size={block_size!r}."
            )
        self.block_size = block_size

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {"block_size": self.block_size}

    def support(self, length, causal=False):
        """See `Factorization.support`."""
        size = self.block_size
        all_blocks = [range(s, min(s + size, length)) for s in range(0, length, size)]
        supports = []
        for i in range(length):
            own = i // size
            others = all_blocks[:own] if causal else all_blocks[:own] + all_blocks[own + 1 :]
            direct = tuple(j for j in all_blocks[own] if j <= i or not causal)
            supports.append(Support(direct, tuple(tuple(block) for block in others)))
        return supports

    def attend_heads(self, query, key, value, padding_mask, causal, summary, dropout):
        """See `Factorization.attend_heads`. N blocks of S tokens; M = N counts them as parts."""
        length = ops.shape(query)[1]
        size = min(self.block_size, length) if isinstance(length, int) else self.block_size
        num_blocks = blocks.count(length, size)
        mask = blocks.split_mask(padding_mask, length, size)  # [G, N, S] or None
        query = blocks.split(query, size)  # [G, N, S, D]
        key = blocks.split(key, size)
        value = blocks.split(value, size)

        direct_logits = ops.matmul(query, ops.swapaxes(key, 2, 3))  # [G, N, S, S]
        terms = [(direct_logits, _direct_mask(mask, size, causal))]
        one_block = isinstance(num_blocks, int) and num_blocks == 1
        if not one_block:
            parts = summarize(query, key, value, mask, summary)
            terms.append((_part_logits(query, parts), _part_mask(parts.mask, num_blocks, causal)))
        weights = joint_softmax(terms)

        used = weights if dropout is None else [dropout(x) for x in weights]
        used = [ops.cast(x, value.dtype) for x in used]
        outputs = ops.matmul(used[0], value)  # [G, N, S, V]
        if not one_block:
            outputs = outputs + _mix_parts(used[1], parts.value)

        def attention_scores():
            scores = _spread_direct(weights[0], num_blocks)
            if not one_block:
                scores = scores + _spread_parts(weights[1], parts.local_weights)
            # [G, N * S, M, S] -> [G, T, T]
            heads = ops.shape(scores)[0]
            scores = ops.reshape(scores, (heads, num_blocks * size, num_blocks * size))
            return ops.cast(scores[:, :length, :length], value.dtype)

        return blocks.merge(outputs, length), attention_scores


def _direct_mask(mask, size, causal):
    """Broadcasts to `[G, N, S, S]`: keys that count and, if causal, are not after the query."""
    direct = None if mask is None else ops.expand_dims(mask, 2)  # [G, N, 1, S]
    if causal:
        past = ops.reshape(ops.tril(ops.ones((size, size), dtype="bool")), (1, 1, size, size))
        direct = past if direct is None else ops.logical_and(direct, past)
    return direct


def _part_mask(parts_mask, num_blocks, causal):
    """Broadcasts to `[G, N, S, M]`: the other blocks or, if causal, the earlier ones.

    For three blocks: bidirectional `[[0 1 1] [1 0 1] [1 1 0]]`, causal `[[0 0 0] [1 0 0] [1 1 0]]`.
    """
    block = ops.arange(num_blocks)
    own = ops.reshape(block, (1, -1, 1, 1))
    other = ops.reshape(block, (1, 1, 1, -1))
    mask = ops.less(other, own) if causal else ops.not_equal(other, own)
    if parts_mask is not None:
        parts_mask = ops.expand_dims(ops.expand_dims(parts_mask, 1), 1)  # [G, 1, 1, M]
        mask = ops.logical_and(mask, parts_mask)
    return mask


def _part_logits(query, parts):
    """Logits of every query with every part's key, `[G, N, S, M]`.

    All queries of a head share the parts, so that one product of rank 3 serves all blocks.
    """
    heads, num_blocks, size, key_dim = ops.shape(query)
    query = ops.reshape(query, (heads, num_blocks * size, key_dim))
    logits = ops.matmul(query, ops.swapaxes(parts.key, 1, 2))
    logits = ops.cast(logits, "float32")
    if parts.bias is not None:
        logits = logits + ops.expand_dims(parts.bias, 1)
    return ops.reshape(logits, (heads, num_blocks, size, num_blocks))


def _mix_parts(weights, part_values):
    """Weights `[G, N, S, M]` of the parts, values `[G, M, V]` -> `[G, N, S, V]`."""
    heads, num_blocks, size, _ = ops.shape(weights)
    weights = ops.reshape(weights, (heads, num_blocks * size, num_blocks))
    outputs = ops.matmul(weights, part_values)
    return ops.reshape(outputs, (heads, num_blocks, size, part_values.shape[2]))


def _spread_direct(weights, num_blocks):
    """Direct weights `[G, N, S, S]` -> `[G, N * S, M, S]`, zero but in the own block."""
    heads, _, size, _ = ops.shape(weights)
    own = ops.repeat(ops.eye(num_blocks, dtype=weights.dtype), size, axis=0)  # [N * S, M]
    own = ops.reshape(own, (1, num_blocks * size, num_blocks, 1))
    return ops.reshape(weights, (heads, num_blocks * size, 1, size)) * own


def _spread_parts(weights, local_weights):
    """Part weights `[G, N, S, M]` shared among the parts' tokens -> `[G, N * S, M, S]`."""
    heads, num_blocks, size, _ = ops.shape(weights)
    weights = ops.reshape(weights, (heads, num_blocks * size, num_blocks, 1))
    return weights * ops.expand_dims(local_weights, 1)
