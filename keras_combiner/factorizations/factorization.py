"""The interface of every plan: what it means (`support`) and how it is computed (`attend`)."""

import dataclasses
import numbers
from typing import Any, NamedTuple

from keras import ops

from keras_combiner.factorizations import heads, summaries, terms, weight_spec
from keras_combiner.factorizations.blocks import Tokens

# The largest `locality`: a direct token then counts exp(16), about nine million, times as much as a
# part with the same logit.
MOST_LOCAL = 16.0


class Support(NamedTuple):
    """What one query attends to: tokens one by one, and parts as a whole.

    Attributes:
        direct: tuple of int, the positions attended one by one.
        parts: tuple of the abstracted parts, each a tuple of int, its positions. `direct` and the
            parts are disjoint and, if the plan covers all (see `Factorization.covers_all`),
            together hold every position that the query may see. Two kinds of parts say more: a
            tuple of parts in place of positions has a local distribution over these children,
            times the local distribution inside each of them; a `CellPart` names the token whose
            query makes the local distribution.
    """

    direct: tuple
    parts: tuple


@dataclasses.dataclass(frozen=True)
class CellPart:
    """A part whose local distribution is made by the query of one token, not by a pooled one.

    Attributes:
        positions: tuple of int, the positions of the part.
        cell: int, the position of the token whose query counts. Where there is no such token, or
            it is padding, the query is the maximum over the part.
        learned_key: bool, whether the part's key is a learned projection; if not, it is the average
            of the keys under the local distribution.
    """

    positions: tuple
    cell: int
    learned_key: bool = False


class MixedSupport(NamedTuple):
    """What one query attends to under several plans, whose effective attention is averaged.

    Attributes:
        members: tuple of `Support` or `MixedSupport`, one a plan.
    """

    members: tuple


class Options(NamedTuple):
    """How a call attends, whatever the plan.

    Attributes:
        causal: bool, whether a query sees only itself and the past.
        pooling: `summaries.Pooling`, how a part is summarized.
        dropout: callable on attention weights, or None.
        favor: float tensor `[B * H, 1, 1, 1]`, at least zero, added to the logits of direct
            tokens, not of parts, or None.
    """

    causal: bool
    pooling: Any
    dropout: Any = None
    favor: Any = None


class Learned(NamedTuple):
    """What plans that learn use beside the heads.

    Attributes:
        weights: dict of str to tensor, at least what `Factorization.weight_specs` declares.
        inputs: float tensor `[B, T, F]`, what the heads were projected from, or None.
    """

    weights: dict
    inputs: Any = None


class Factorization:
    """How the attention of a sequence is split into direct and abstracted parts.

    A plan is a subclass with three methods: `support` states what the plan means, slowly and in
    plain Python; `terms` lays out the same fast, in `keras.ops`; `get_config` returns the
    constructor's arguments. A plan that learns declares its weights in `weight_specs`; a plan that
    decodes one token at a time is a `decoding.DecodingFactorization`. Everything that plans share
    is done here (heads, scaling, masks) and in `terms` (softmax, dropout, sums, scores).

    Attributes:
        any_length: bool, whether the plan serves sequences of a length that is not known before
            there is data; the others lay out their pattern at a static length.
        covers_all: bool, whether a query attends to every position that it may see, directly or in
            a part. If not, it is blind to some of the text, like a query of `Window`.
        decodes: bool, whether the plan decodes one token at a time, with `decode`.
        learns_without_gradients: bool, whether training moves weights by the tokens it sees
            (see `updated_weights`), which then differ between devices that see different ones.
        pools_parts: bool, whether queries and keys are pooled, so that the kind of summary matters.
        chooses: str, what the plan chooses by the data at hand, which `support` then needs to be
            told; None if its pattern depends on the length alone.
        plans: the plans that this one averages, empty for any but a mixture.

    Source: Ren et al., "Combiner: Full Attention Transformer with Sparse Computation Cost",
    NeurIPS 2021, section 3.
    """

    any_length = False
    covers_all = True
    decodes = False
    learns_without_gradients = False
    pools_parts = True
    chooses = None
    plans = ()

    def support(self, length, causal=False, choice=None):
        """States which positions every query attends to, and how.

        Args:
            length: int, number of tokens.
            causal: bool, whether a query sees only itself and the past.
            choice: what a plan that chooses by the data chose, see `chooses`; None for any plan
                that does not.

        Returns:
            A list of `length` `Support`s (or `MixedSupport`s), one a query position.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement support().")

    def terms(self, tokens, options, learned):
        """Lays out what queries attend to, within sequences of one head each.

        Subclasses implement this.

        Args:
            tokens: `blocks.Tokens`, heads in the batch.
            options: `Options`.
            learned: `Learned`.

        Returns:
            A list of `terms.Term`, whose queries are laid out in blocks of consecutive tokens.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement terms().")

    def attend_heads(self, tokens, options, learned):
        """Attends within sequences of one head each.

        Plans whose queries are not laid out one after the other have a way of their own.

        Legend: G batch * heads, T tokens, V value dim.

        Args:
            tokens: as in `terms`.
            options: as in `terms`.
            learned: as in `terms`.

        Returns:
            `(outputs, attention_scores)`, see `terms.attend`.
        """
        length = ops.shape(tokens.query)[1]
        found = self.terms(tokens, options, learned)
        dtype = tokens.value.dtype
        return terms.attend(found, length, dtype, options.dropout, options.favor)

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
        """Computes, in a training step, new values of the weights that gradients do not train.

        Args:
            weights: dict of str to tensor, at least what `weight_specs` declares.
            key: float tensor `[B, H, T, D]`.
            padding_mask: bool tensor `[B, T]`, true at tokens that count, or None for all.

        Returns:
            dict of str to tensor, the new values of weights that are not trainable.
        """
        return {}

    def is_full_attention(self, length):
        """Returns whether attention over `length` tokens is plain softmax attention.

        Args:
            length: int, T, or a tensor where it is not known before there is data.

        Returns:
            bool, true if it is known that every query of such a sequence attends to each token
            directly, or, where it is causal, to each of the past.
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
                "that read texts and CombinerBackbone take static_length=True for it), or take a "
                f"plan that works at any: {_names_of_plans('any_length')}."
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
        locality=0.0,
    ):
        """Computes Combiner attention on projected heads.

        Legend: B batch, H heads, T tokens, D key dim, V value dim.

        Args:
            query: float tensor `[B, H, T, D]`.
            key: float tensor `[B, H, T, D]`.
            value: float tensor `[B, H, T, V]`.
            padding_mask: bool tensor `[B, T]`, true at tokens that count, or None for all.
                A token that does not count is left out of everything: of direct attention, of the
                pooling that makes a part's query and key, and of the part's local attention. The
                output of a query that has nothing to attend to is zero.
            causal: bool, whether a query sees only itself and the past.
            summary: "variational", "gaussian", "max", "mean" or "deepset", see
                `summaries.summarize`; or "none", which leaves all parts out: the sparse pattern
                that the plan comes from, where a query attends to its direct tokens only.
            dropout: callable applied to the joint attention weights, or None.
            return_attention_scores: bool, whether to return the effective attention matrix too.
                It takes memory that grows with the square of T.
            weights: dict of str to tensor, what `all_weight_specs` declares; None if it declares
                none.
            inputs: float tensor `[B, T, F]`, what the heads were projected from, for plans that
                use it (see `AxialRowmajor`), or None.
            locality: float from 0 to 16, in nats: head h of H adds `locality * h / (H - 1)` to the
                logits of the tokens that it attends to directly. The first head adds nothing; the
                last one favors direct tokens most. It does not change which parts are opened, and
                has no effect where all tokens are direct. It must be 0 for a single head.

        Returns:
            float tensor `[B, H, T, V]`, or with `return_attention_scores` a pair of it and the
            effective attention matrix `[B, H, T, T]` (before dropout): rows are non-negative,
            sum to one over the positions that count, and `scores @ value` is the output.

        Raises:
            ValueError: for an unknown `summary`, a `locality` out of range, and for weights or
                inputs that are missing.

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
        check_locality(locality, num_heads)
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
            Tokens(heads.flatten(query), heads.flatten(key), heads.flatten(value), padding_mask),
            Options(
                causal,
                summaries.get(summary, weights),
                dropout,
                heads.favor(locality, query),
            ),
            Learned(weights, inputs),
        )
        outputs = heads.unflatten(outputs, num_heads)
        if return_attention_scores:
            return outputs, heads.unflatten(attention_scores(), num_heads)
        return outputs

    def initial_cache(self, *arguments, **options):
        """Raises a NotImplementedError; `decoding.DecodingFactorization` overrides it."""
        self._refuse_decoding()

    def decode(self, *arguments, **options):
        """Raises a NotImplementedError; `decoding.DecodingFactorization` overrides it."""
        self._refuse_decoding()

    def _refuse_decoding(self):
        raise NotImplementedError(
            f"{type(self).__name__} does not decode one token at a time. Take a plan that does: "
            f"{_names_of_plans('decodes')}."
        )


def check_locality(locality, num_heads):
    """Raises a ValueError unless `locality` is a number from 0 to `MOST_LOCAL`, 0 for one head."""
    is_number = isinstance(locality, numbers.Real) and not isinstance(locality, bool)
    if not is_number or not 0 <= locality <= MOST_LOCAL:
        raise ValueError(
            f"`locality` must be a number from 0 (as near to softmax attention as the plan is) to "
            f"{MOST_LOCAL:g}, in nats. Received: {locality!r}."
        )
    if locality and num_heads == 1:
        raise ValueError(
            "`locality` grows from the first head, which has none, to the last: a single head "
            f"cannot have any. Received: locality={locality!r}, num_heads=1."
        )


def _names_of_plans(ability):
    """Which classes of plans have a true attribute `ability`: `A, B or C`, whoever wrote them."""
    kinds, found = [Factorization], set()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        # What several plans share is not a plan of its own.
        if getattr(kind, ability) is True and not kind.__subclasses__():
            found.add(kind.__name__)
    *others, last = sorted(found)
    return f"{', '.join(others)} or {last}" if others else last
