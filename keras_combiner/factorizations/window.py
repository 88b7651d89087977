"""The plan "window": the tokens near a query directly, and nothing beyond them."""

import keras
from keras import ops

from keras_combiner.factorizations import blocks, decoding, summaries
from keras_combiner.factorizations.decoding import DecodingFactorization
from keras_combiner.factorizations.factorization import Support
from keras_combiner.factorizations.fixed import Fixed
from keras_combiner.factorizations.terms import direct_term


@keras.saving.register_keras_serializable(package="keras_combiner")
class Window(DecodingFactorization):
    """Attends to the tokens near the query one by one, and to nothing else.

    A bidirectional query i sees the tokens j with |i - j| <= S / 2, a causal one the last S tokens
    up to itself, 0 <= i - j < S. Unlike all other plans this one has no parts and does not cover
    the whole text: a layer sees nothing of what lies beyond the window. Through a stack of L layers
    information travels L times as far, and no further. Take it for the local layers of a model
    whose other layers see everything, as Longformer and ModernBERT have them, or as a member of a
    `Mixture`. The kind of summary does not matter. Cost: O(T S).

    Keras computes the same with `MultiHeadAttention(sliding_window=W)`, at a cost of O(T T). There
    a query sees |i - j| < W, on both sides unless `use_causal_mask=True`: bidirectional, W is
    S // 2 + 1, and S is 2 W - 1; causal, the two are equal.

    Args:
        size: int, S, at least 1.

    Raises:
        ValueError: if `size` is not an int of at least 1.

    Example:

    >>> [support.direct for support in Window(size=2).support(length=4)]
    [(0, 1), (0, 1, 2), (1, 2, 3), (2, 3)]
    >>> [support.direct for support in Window(size=2).support(length=4, causal=True)]
    [(0,), (0, 1), (1, 2), (2, 3)]

    Source: Beltagy et al., "Longformer: The Long-Document Transformer", 2020, section 3.1.
    """

    any_length = True
    covers_all = False
    pools_parts = False

    def __init__(self, size=128):
        blocks.check_size("size", size, "the number of tokens that a causal query attends to")
        self.size = size

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {"size": self.size}

    def is_full_attention(self, length):
        """See `Factorization.is_full_attention`."""
        return isinstance(length, int) and length <= self.size // 2 + 1

    def support(self, length, causal=False, choice=None):
        """See `Factorization.support`."""
        before, after = self._reach(causal)
        return [
            Support(tuple(range(max(i - before, 0), min(i + after + 1, length))), ())
            for i in range(length)
        ]

    def terms(self, tokens, options, learned):
        """See `Factorization.terms`.

        Blocks as long as the reach, among neighbors: Q queries with C keys, of which a band counts.
        """
        before, after = self._reach(options.causal)
        near = Fixed(max(before, 1), neighbors=1)
        without_parts = options._replace(pooling=summaries.Pooling(summaries.NONE))
        (direct,) = near.terms(tokens, without_parts, learned)
        _, _, num_queries, num_keys = ops.shape(direct.logits)
        one_block = num_queries == num_keys
        if one_block and num_keys <= before + 1:  # all of it within reach
            return [direct]
        own = ops.arange(num_queries, dtype="int32")
        own = own if one_block else own + num_queries  # behind the neighbor on the left
        ahead = ops.arange(num_keys, dtype="int32") - ops.expand_dims(own, 1)  # [Q, C]
        band = ops.logical_and(ops.greater_equal(ahead, -before), ops.less_equal(ahead, after))
        band = ops.reshape(band, (1, 1, num_queries, num_keys))
        mask = band if direct.mask is None else ops.logical_and(direct.mask, band)
        return [direct._replace(mask=mask)]

    def cache_shapes(self, key_dim, value_dim, max_length, pooling):
        """See `DecodingFactorization.cache_shapes`. O(S): the last S tokens."""
        num_slots = min(self.size, max_length)
        return {"key": (num_slots, key_dim), "value": (num_slots, value_dim)}

    def decode_heads(self, token, cache, position, pooling):
        """See `DecodingFactorization.decode_heads`. O(S).

        Token t is kept in slot t % S, over the token that has left the window.
        """
        num_slots = cache["key"].shape[1]
        slot = position % num_slots
        cache = {
            "key": decoding.write(cache["key"], token.key, slot),
            "value": decoding.write(cache["value"], token.value, slot),
        }
        filled = ops.less_equal(ops.arange(num_slots, dtype="int32"), position)
        mask = decoding.as_mask(filled)
        return [direct_term(token.query, cache["key"], cache["value"], mask)], cache

    def _reach(self, causal):
        """How many tokens a query sees before itself, and how many after."""
        return (self.size - 1, 0) if causal else (self.size // 2, self.size // 2)
