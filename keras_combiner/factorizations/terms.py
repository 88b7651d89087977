"""What a query attends to, as terms of one softmax, and how they become its output.

A plan lays out tokens, summarizes parts and returns terms. Whatever follows is the same under every
plan and is done here: one softmax over all terms, dropout, weighted sums, the effective matrix.

Legend: G batch * heads, N blocks (or rows, or slots) that queries are laid out in, S queries a
block, C keys of a term, D key dim, V value dim, T tokens.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_combiner.factorizations import blocks, precision, products, scores
from keras_combiner.factorizations.softmax import MOST_ABOVE, finite, joint_softmax


class Term(NamedTuple):
    """Some of the logits of every query, and what is done with their weights.

    Attributes:
        logits: float tensor `[G, N, S, C]`.
        mask: bool tensor that broadcasts to the logits, true where an entry counts, or None if
            all of them do.
        bias: float32 tensor that broadcasts to the logits and is added to them, at least zero and
            small enough for its exponential, or None.
        favor: float tensor `[G, 1, 1, 1]`, at least zero, that is added to all logits, or None.
            The terms of a softmax that have one have the same.
        masked_cannot_dominate: bool, whether it is known that in every row no masked logit exceeds
            all that count, in this term or another, by more than `softmax.MOST_ABOVE`. A masked
            logit that does could make them vanish, and must be filled.
        is_part: bool, whether the entries are summaries of parts, not tokens.
        mix: callable that makes the term's share of the outputs, `[G, N, S, V]`, of its weights,
            a tensor like the logits.
        scores: callable that makes its share of the effective attention matrix of its weights:
            `[G, T', T']`, whose first T rows and columns are those of the tokens.
    """

    logits: Any
    mask: Any = None
    bias: Any = None
    favor: Any = None
    masked_cannot_dominate: bool = False
    is_part: bool = False
    mix: Callable | None = None
    scores: Callable | None = None

    def laid_out(self, there, back):
        """The same term for queries that are laid out otherwise, such as by rows, not columns.

        Args:
            there: callable that brings logits and outputs into the other layout.
            back: callable that brings weights back.

        Returns:
            `Term`, with mask and bias as they are.
        """
        return self._replace(
            logits=there(self.logits),
            mix=lambda weights: there(self.mix(back(weights))),
            scores=lambda weights: self.scores(back(weights)),
        )


def direct_term(query, key, value, mask=None, scores=None, **options):
    """`Term` of tokens, attended one by one.

    Args:
        query: float tensor `[..., S, D]`, already divided by sqrt(D).
        key: float tensor `[..., C, D]`.
        value: float tensor `[..., C, V]`.
        mask: see `Term`.
        scores: see `Term`.
        **options: other fields of `Term`.
    """
    return _term("direct", query, key, value, mask=mask, scores=scores, **options)


def part_term(query, key, value, mask=None, bias=None, scores=None, variance=None, **options):
    """`Term` of parts, attended through their summaries: as `direct_term`, with more to a logit.

    Args:
        query: see `direct_term`.
        key: see `direct_term`.
        value: see `direct_term`.
        mask: see `Term`.
        bias: see `Term`.
        scores: see `Term`.
        variance: float tensor `[..., C, D]`, of the keys in every part, or None. It adds half the
            variance of the query's logits inside the part, and at most `softmax.MOST_ABOVE`.
        **options: other fields of `Term`.
    """
    options = {**options, "mask": mask, "bias": bias, "scores": scores, "is_part": True}
    term = _term("part", query, key, value, **options)
    if variance is None:
        return term
    # Squares have another range than queries: in a product of their own, integers keep both.
    square = precision.square(query)
    variance = ops.cast(0.5 * variance, square.dtype)  # of the two, the smaller tensor
    more = products.matmul(square, variance, "variance_logits", transpose_y=True)
    logits = finite(term.logits)
    return term._replace(logits=logits + ops.cast(ops.minimum(more, MOST_ABOVE), logits.dtype))


def block_term(tokens, causal, own=True):
    """`Term` of the tokens in the query's own block.

    Args:
        tokens: `blocks.Tokens` in blocks: `[G, N, S, D]`, mask `[G, N, S]` (G may be 1) or None.
        causal: bool, whether to leave out what comes after the query.
        own: bool, whether a token attends to itself.
    """
    _, num_blocks, size, _ = ops.shape(tokens.key)
    if own:
        pattern = blocks.pattern(size, "to") if causal else None
    else:
        pattern = blocks.pattern(size, "before" if causal else "other")
    block = np.arange(num_blocks * size) // size
    return direct_term(
        tokens.query,
        tokens.key,
        tokens.value,
        blocks.mask_pairs(tokens.mask, pattern),
        lambda weights: scores.place(blocks.join(weights), block, num_blocks),
    )


def _term(kind, query, key, value, **options):
    return Term(
        products.matmul(query, key, f"{kind}_logits", transpose_y=True),
        mix=lambda weights: products.matmul(weights, value, f"{kind}_outputs"),
        **options,
    )


def attend(terms, length, dtype, dropout=None, favor=None):
    """Attends to all terms together.

    Args:
        terms: list of `Term`, whose logits agree in all axes but the last.
        length: int, or a tensor, T.
        dtype: str, of values and outputs.
        dropout: callable on attention weights, or None.
        favor: see `factorization.Options`.

    Returns:
        `(outputs, attention_scores)`: float tensor `[G, T, V]`, and a callable without arguments
        that returns the effective attention matrix `[G, T, T]`, so that its quadratic cost is paid
        only on request.
    """
    outputs, weights = weighted_sum(terms, dtype, dropout, favor)

    def attention_scores():
        matrix = _sum([term.scores(x) for term, x in zip(terms, weights, strict=True)])
        return ops.cast(matrix[:, :length, :length], dtype)

    return blocks.merge(outputs, length), attention_scores


def weighted_sum(terms, dtype, dropout=None, favor=None):
    """Outputs `[G, N, S, V]` as the queries are laid out, and the weights before dropout.

    Args:
        terms: list of `Term`.
        dtype: str, of values and outputs.
        dropout: callable on attention weights, or None.
        favor: see `factorization.Options`.
    """
    if favor is not None and any(x.is_part for x in terms):  # or it would cancel
        terms = [x if x.is_part else x._replace(favor=favor) for x in terms]
    weights = joint_softmax(terms)
    used = weights if dropout is None else [dropout(x) for x in weights]
    used = [ops.cast(x, dtype) for x in used]
    return _sum([term.mix(x) for term, x in zip(terms, used, strict=True)]), weights


def _sum(tensors):
    return sum(tensors[1:], tensors[0])
