"""The interface of every plan: what it means (`support`) and how it is computed (`attend`)."""

import dataclasses
from typing import NamedTuple

from keras import ops

from keras_combiner.factorizations import blocks, decoding, heads, summaries, weight_spec


class Support(NamedTuple):
    """What one query attends to: tokens one by one, and parts as a whole.

    Attributes:
        direct: tuple of int, the positions attended one by one.
        parts: tuple of the abstracted parts, each a tuple of int, its positions. `direct` and the
            parts are disjoint and together hold every position that the query may see. Two kinds
            of parts say more: a tuple of parts in place of positions has a local distribution
            over these children, times the local distribution inside each of them; a `CellPart`
            names the token whose query makes the local distribution.
    """

    direct: tuple
    parts: tuple


@dataclasses.dataclass(frozen=True)
class CellPart:
    """A part whose local distribution is made by the query of one token, not by a pooled one.

    Its key is the average of its keys under that distribution.

    Attributes:
        positions: tuple of int, the positions of the part.
        cell: int, the position of the token whose query counts. Where there is no such token, or
            it is padding, the query is the maximum over the part.
    """

    positions: tuple
    cell: int


class MixedSupport(NamedTuple):
    """What one query attends to under several plans, whose effective attention is averaged.

    Attributes:
        members: tuple of `Support` or `MixedSupport`, one a plan.
    """

    members: tuple


class Factorization:
    """How the attention of a sequence is split into direct and abstracted parts.

    A plan is a subclass with three methods: `support` states what the plan means, slowly and in
    plain Python; `attend_heads` computes the same fast, in `keras.ops`; `get_config` gives the
    constructor's arguments. A plan that learns declares its weights in `weight_specs`; a plan that
    decodes one token at a time adds `cache_shapes` and `decode_heads`. Everything that plans share
    (heads, scaling, masks) is done here.

    Source: Ren et al., "Combiner: Full Attention Transformer with Sparse Computation Cost",
    NeurIPS 2021, section 3.
    """

    # Decoding is optional: axial plans, routing and mixtures would each need a cache of their own,
    # and are refused early instead of decoded slowly.
    _DECODES_NOT = (
        "{} does not decode one token at a time. The plans that do are 'fixed', 'hierarchical' and "
        "'logsparse' (Fixed, Hierarchical and Logsparse)."
    )
    pools_parts = True  # whether queries and keys are pooled, so that the kind of summary matters

    def support(self, length, causal=False):
        """States which positions every query attends to, and how.

        Args:
            length: int, number of tokens.
            causal: bool, whether a query sees only itself and the past.

        Returns:
            A list of `length` `Support`s (or `MixedSupport`s), one a query position.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement support().")

    def attend_heads(
        self, query, key, value, padding_mask, causal, pooling, dropout, weights, inputs
    ):
        """Attends within sequences of one head each; subclasses implement this.

        Legend: G batch * heads, T tokens, D key dim, V value dim.

        Args:
            query: float tensor `[G, T, D]`, already divided by sqrt(D).
            key: float tensor `[G, T, D]`.
            value: float tensor `[G, T, V]`.
            padding_mask: bool tensor `[G, T]`, true at tokens that count, or None for all.
            causal: bool.
            pooling: `keras_combiner.factorizations.summaries.Pooling`.
            dropout: callable on attention weights, or None.
            weights: dict of str to tensor, at least what `weight_specs` declares.
            inputs: float tensor `[B, T, F]`, what the heads were projected from, or None.

        Returns:
            `(outputs, attention_scores)`: float tensor `[G, T, V]`, and a callable without
            arguments that gives the effective attention matrix `[G, T, T]`, so that its
            quadratic cost is paid only by those who ask.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement attend_heads().")

    def weight_specs(self, num_heads, key_dim, value_dim, input_dim):
        """Declares the weights that the plan learns; whoever calls `attend` owns them.

        Args:
            num_heads: int, H.
            key_dim: int, D.
            value_dim: int, V.
            input_dim: int, F, number of features of the layer's input.

        Returns:
            dict of str to `weight_spec.WeightSpec`; empty for plans without parameters.
        """
        return {}

    def all_weight_specs(self, summary, num_heads, key_dim, value_dim, input_dim):
        """Declares the weights that the plan learns, and those of its summaries.

        Args:
            summary: str, as in `attend`.
            num_heads: int, H.
            key_dim: int, D.
            value_dim: int, V.
            input_dim: int, F.

        Returns:
            dict of str to `weight_spec.WeightSpec`.
        """
        specs = summaries.weight_specs(summary, key_dim) if self.pools_parts else {}
        return {**specs, **self.weight_specs(num_heads, key_dim, value_dim, input_dim)}

    def updated_weights(self, weights, key, padding_mask=None):
        """What a training step makes of weights that gradients do not train.

        Args:
            weights: dict of str to tensor, at least what `weight_specs` declares.
            key: float tensor `[B, H, T, D]`.
            padding_mask: bool tensor `[B, T]`, true at tokens that count, or None for all.

        Returns:
            dict of str to tensor, the new values of weights that are not trainable.
        """
        return {}

    def cache_shapes(self, key_dim, value_dim, max_length):
        """States what decoding has to keep; subclasses that decode implement this.

        Args:
            key_dim: int, D.
            value_dim: int, V.
            max_length: int.

        Returns:
            A dictionary, name -> shape (tuple of int) of what is kept for one head. An entry whose
            name ends in "bias" is float32.
        """
        raise NotImplementedError(self._DECODES_NOT.format(type(self).__name__))

    def decode_heads(self, query, key, value, cache, position, pooling):
        """Attends from one new token of every sequence; subclasses that decode implement this.

        Legend: G batch * heads, D key dim, V value dim.

        Args:
            query: float tensor `[G, 1, D]`, already divided by sqrt(D).
            key: float tensor `[G, 1, D]`.
            value: float tensor `[G, 1, V]`.
            cache: dictionary of tensors `[G, ...]`, shaped as `cache_shapes` says.
            position: int32 scalar tensor, the token's, less than the cache's `max_length`.
            pooling: as in `attend_heads`.

        Returns:
            `(outputs, cache)`: float tensor `[G, 1, V]`, and the cache with the token in it.
        """
        raise NotImplementedError(self._DECODES_NOT.format(type(self).__name__))

    def is_all_direct(self, length):
        """Says whether attention over `length` tokens is plain softmax attention.

        Args:
            length: int, T, or a tensor where it is not known before there is data.

        Returns:
            bool, true if it is known that no query of such a sequence has a part.
        """
        return False

    def static_length(self, x):
        """Returns T of `x` `[G, T, D]` for plans whose pattern is laid out before there is data.

        Raises:
            ValueError: if T is not known.
        """
        length = ops.shape(x)[1]
        if not isinstance(length, int):
            raise ValueError(
                f"{type(self).__name__} fixes its pattern at a static length; received inputs of "
                "unknown length. Give the inputs a static length (pad them to a common one; models "
                "that read texts and CombinerBackbone take static_length=True for it), or "
                "take the plan 'fixed', which works at any."
            )
        return length

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {}

    @classmethod
    def from_config(cls, config):
        """Undoes `get_config`."""
        return cls(**config)

    def attend(
        self,
        query,
        key,
        value,
        padding_mask=None,
        causal=False,
        summary="variational",
        dropout=None,
        return_attention_scores=False,
        weights=None,
        inputs=None,
    ):
        """Computes Combiner attention on projected heads.

        Legend: B batch, H heads, T tokens, D key dim, V value dim.

        Args:
            query: float tensor `[B, H, T, D]`.
            key: float tensor `[B, H, T, D]`.
            value: float tensor `[B, H, T, V]`.
            padding_mask: bool tensor `[B, T]`, true at tokens that count, or None for all.
                A token that does not count is left out of everything: of direct attention, of the
                pooling that makes a part's query and key, and of the part's local attention. A
                query that has nothing to attend to gives zeros.
            causal: bool, whether a query sees only itself and the past.
            summary: "variational", "max", "mean" or "deepset", see `summaries.summarize`; or
                "none", which leaves all parts out: the sparse pattern that the plan comes from,
                where a query attends to its direct tokens only.
            dropout: callable applied to the joint attention weights, or None.
            return_attention_scores: bool, whether to return the effective attention matrix too.
                It takes memory that grows with the square of T.
            weights: dict of str to tensor, what `all_weight_specs` declares; None where that
                is nothing.
            inputs: float tensor `[B, T, F]`, what the heads were projected from, for plans that
                use it (see `AxialRowmajor`), or None.

        Returns:
            float tensor `[B, H, T, V]`, or with `return_attention_scores` a pair of it and the
            effective attention matrix `[B, H, T, T]` (before dropout): rows are non-negative,
            sum to one over the positions that count, and `scores @ value` is the output.

        Raises:
            ValueError: for an unknown `summary`, and for weights or inputs that are missing.

        Example:

        >>> import numpy as np
        >>> from keras_combiner.factorizations import Fixed
        >>> heads = np.random.default_rng(0).normal(size=(2, 4, 100, 8)).astype("float32")
        >>> outputs, scores = Fixed(block_size=16).attend(
        ...     heads, heads, heads, return_attention_scores=True
        ... )
        >>> tuple(outputs.shape), tuple(scores.shape)
        ((2, 4, 100, 8), (2, 4, 100, 100))

        Source: Ren et al., NeurIPS 2021, equation 5.
        """
        summaries.check(summary)
        query, key, value = (ops.convert_to_tensor(x) for x in (query, key, value))
        batch, num_heads, length, key_dim = ops.shape(query)
        weights = {} if weights is None else weights
        input_dim = None if inputs is None else inputs.shape[-1]
        specs = self.all_weight_specs(summary, num_heads, key_dim, value.shape[3], input_dim)
        weight_spec.check(specs, weights)
        if 0 in query.shape[:3]:
            scores = ops.zeros((batch, num_heads, length, length), value.dtype)
            return (value, scores) if return_attention_scores else value
        query = query * query.shape[3] ** -0.5
        if padding_mask is not None:
            padding_mask = ops.cast(padding_mask, "bool")
            # What padding holds may be too large for logits in float16, even if masked later.
            key, value = (heads.zero_padding(x, padding_mask) for x in (key, value))
            padding_mask = heads.repeat_for_heads(padding_mask, batch, num_heads)
        outputs, attention_scores = self.attend_heads(
            heads.flatten(query),
            heads.flatten(key),
            heads.flatten(value),
            padding_mask=padding_mask,
            causal=causal,
            pooling=summaries.get(summary, weights),
            dropout=dropout,
            weights=weights,
            inputs=inputs,
        )
        outputs = heads.unflatten(outputs, num_heads)
        if return_attention_scores:
            return outputs, heads.unflatten(attention_scores(), num_heads)
        return outputs

    def initial_cache(self, batch_size, num_heads, key_dim, value_dim, max_length, dtype="float32"):
        """Makes the empty cache that `decode` starts with.

        Args:
            batch_size: int, B.
            num_heads: int, H.
            key_dim: int, D.
            value_dim: int, V.
            max_length: int, the most tokens that will be decoded.
            dtype: str, the dtype that keys and values are kept in.

        Returns:
            A dictionary, name (str) -> tensor `[B, H, ...]` of zeros: whatever the plan needs to
            remember of the tokens before. Its contents are the plan's own affair.

        Raises:
            NotImplementedError: if the plan does not decode one token at a time.
            ValueError: if a size is not an int of at least 1.

        Example:

        >>> from keras_combiner.factorizations import Fixed
        >>> cache = Fixed(block_size=4).initial_cache(
        ...     batch_size=1, num_heads=2, key_dim=8, value_dim=8, max_length=100
        ... )
        >>> tuple(cache["key"].shape), tuple(cache["part_key"].shape)
        ((1, 2, 4, 8), (1, 2, 25, 8))
        """
        for name, size in (("batch_size", batch_size), ("max_length", max_length)):
            blocks.check_size(name, size, "for a cache has a static shape")
        shapes = self.cache_shapes(key_dim, value_dim, max_length)
        return decoding.initial_cache(shapes, batch_size, num_heads, max_length, dtype)

    def decode(self, query, key, value, cache, position, summary="variational", weights=None):
        """Computes causal attention for the next token of every sequence.

        Decoding the tokens of a sequence one after the other gives what `attend(causal=True)`
        gives for all of them at once, at a cost a token that does not grow like the length.

        Legend: B batch, H heads, D key dim, V value dim.

        Args:
            query: float tensor `[B, H, D]`, of the token at `position`.
            key: float tensor `[B, H, D]`.
            value: float tensor `[B, H, V]`.
            cache: dictionary of tensors, what `initial_cache` made or the last step returned.
            position: int, or int32 scalar tensor: 0 for the first token, then 1, and so on
                without a gap. The same for all sequences, none of which has padding.
            summary: as in `attend`, the same in all steps.
            weights: as in `attend`.

        Returns:
            `(outputs, cache)`: float tensor `[B, H, V]`, and the cache for the next step, of the
            same structure, so that it can be the state of a loop.

        Raises:
            NotImplementedError: if the plan does not decode one token at a time.
            ValueError: for an unknown `summary`, for weights that are missing, for a cache that was
                made for something else, or for a `position` that is an int for which the cache has
                no room. (What a tensor holds is not known in time.)

        Example:

        >>> import numpy as np
        >>> from keras_combiner.factorizations import Fixed
        >>> plan = Fixed(block_size=2)
        >>> heads = np.random.default_rng(0).normal(size=(1, 2, 5, 8)).astype("float32")
        >>> cache = plan.initial_cache(1, num_heads=2, key_dim=8, value_dim=8, max_length=5)
        >>> for position in range(5):
        ...     token = heads[:, :, position]
        ...     outputs, cache = plan.decode(token, token, token, cache, position)
        >>> whole = plan.attend(heads, heads, heads, causal=True)
        >>> bool(np.allclose(outputs, whole[:, :, 4], atol=1e-5))
        True

        Source: Ren et al., NeurIPS 2021, equation 5, for one query.
        """
        summaries.check(summary)
        query, key, value = (ops.convert_to_tensor(x) for x in (query, key, value))
        num_heads, key_dim = query.shape[1:]
        decoding.check_cache(cache, self, query.shape, value.shape[2])
        decoding.check_position(position, cache)
        dtype = cache[decoding.ROOM].dtype
        weights = {} if weights is None else weights
        specs = self.all_weight_specs(summary, num_heads, key_dim, value.shape[2], None)
        weight_spec.check(specs, weights)
        query = query * key_dim**-0.5
        outputs, new_cache = self.decode_heads(
            *(heads.flatten(ops.cast(ops.expand_dims(x, 2), dtype)) for x in (query, key, value)),
            {name: heads.flatten(x) for name, x in cache.items()},
            ops.cast(position, "int32"),
            summaries.get(summary, weights),
        )
        new_cache = {name: heads.unflatten(x, num_heads) for name, x in new_cache.items()}
        outputs = ops.squeeze(heads.unflatten(outputs, num_heads), 2)
        return ops.cast(outputs, value.dtype), {decoding.ROOM: cache[decoding.ROOM], **new_cache}
