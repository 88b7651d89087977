"""Softmax with masked entries left out exactly, over one group of logits or several together."""

import functools
import math

from keras import backend, ops

from keras_combiner.factorizations import precision

# The most, in nats, that the variance of a part adds to its logit; so the most by which a masked
# logit may exceed all that count, where masked logits are not filled.
MOST_ABOVE = 4.0
LEAST_TOTAL = 0.5 * math.exp(-MOST_ABOVE)
MASKED_BELOW = 30.0  # nats below the smallest logit: a weight of less than 1e-13


def masked_softmax(logits, mask=None):
    """Softmax over the last axis, with masked entries left out exactly.

    Args:
        logits: float tensor `[..., C]`.
        mask: bool tensor that broadcasts to the logits, true where an entry counts, or None if
            all of them do.

    Returns:
        float32 tensor (float64 for such logits) shaped like the logits: non-negative weights that
        sum to one, or are all zero in rows that have no entry that counts.

    Example:

    >>> import numpy as np
    >>> weights = masked_softmax(np.array([[0.0, 1e4, 0.0]], "float32"), np.array([1, 0, 1], bool))
    >>> np.array(weights).tolist()
    [[0.5, 0.0, 0.5]]
    """
    logits = finite(logits)
    mask = None if mask is None else ops.cast(mask, "bool")
    if logits.shape[-1] == 1:  # Keras warns of a softmax over one entry, whose gradient is zero
        weights = ops.ones_like(logits) + 0.0 * logits
    elif mask is None:
        return ops.softmax(logits, axis=-1)
    else:
        # Too light for float32 to notice in a sum, and then made zero: the range stays small.
        fill = ops.stop_gradient(ops.min(logits, -1, keepdims=True)) - MASKED_BELOW
        weights = ops.softmax(ops.where(mask, logits, fill), axis=-1)
    return weights if mask is None else weights * ops.cast(mask, weights.dtype)


def joint_softmax(terms):
    """Softmax over the last axes of all terms together.

    Masked entries get a weight of exactly zero, whatever their logits hold. Before the exponential
    they are filled with the smallest logit, except in terms with `masked_cannot_dominate`: a fill
    that can neither raise the maximum, nor overflow, nor widen the range of values that an integer
    format has to represent, as a large negative constant would.

    Args:
        terms: list of `terms.Term`, whose `logits`, `mask`, `bias`, `favor` and
            `masked_cannot_dominate` are used. The shapes of logits agree in all but the last axis.

    Returns:
        A list of float32 tensors (float64 for such logits) shaped like the logits: non-negative
        weights whose sum over all terms is one, or zero in rows that have no entry that counts.

    Example:

    >>> import numpy as np
    >>> from keras_combiner.factorizations.terms import Term
    >>> logits = np.zeros((1, 2), "float32")
    >>> masked = Term(logits + 1e4, mask=np.array([[False, False]]))
    >>> direct, parts = joint_softmax([Term(logits), masked])
    >>> np.array(direct).tolist(), np.array(parts).tolist()
    ([[0.5, 0.5]], [[0.0, 0.0]])
    """
    if len(terms) == 1 and terms[0].bias is None:
        # Backends have a kernel for one softmax, which takes fewer passes over the logits.
        return [masked_softmax(terms[0].logits, terms[0].mask)]
    weights, scale = unscaled_softmax(terms)
    return [x * scale for x in weights]


def unscaled_softmax(terms):
    """`joint_softmax` before its last pass over the weights.

    Args:
        terms: as in `joint_softmax`.

    Returns:
        `(weights, scale)`: a list of tensors, and a tensor `[..., 1]`. `joint_softmax` returns
        their products.
    """
    logits = [finite(term.logits) for term in terms]
    factors = [_factor(term, precision.dtype_for(logits[0])) for term in terms]
    fills = [term.mask is not None and not term.masked_cannot_dominate for term in terms]
    if any(fills):
        # At most the largest logit that counts, and finite, whatever the masks.
        smallest = _reduce(
            ops.minimum,
            [
                ops.min(x, -1, keepdims=True) if fill else ops.max(x, -1, keepdims=True)
                for x, fill in zip(logits, fills, strict=True)
            ],
        )
        logits = [
            ops.where(ops.cast(term.mask, "bool"), x, smallest) if fill else x
            for term, x, fill in zip(terms, logits, fills, strict=True)
        ]
    maxima = [ops.max(x, -1, keepdims=True) for x in logits]
    favor = next((term.favor for term in terms if term.favor is not None), None)
    if favor is None:
        largest, least = _reduce(ops.maximum, maxima), LEAST_TOTAL
        shifts = [largest] * len(terms)
    else:
        # Added to the maxima, not to the logits, and the exponentials are one at most all the same.
        favors = [0.0 if term.favor is None else term.favor for term in terms]
        largest = _reduce(ops.maximum, [x + y for x, y in zip(maxima, favors, strict=True)])
        shifts = [largest - x for x in favors]
        least = LEAST_TOTAL * ops.exp(-favor)  # a masked logit may exceed others by that, too
    weights = [ops.exp(x - shift) for x, shift in zip(logits, shifts, strict=True)]
    weights = [
        x if factor is None else x * factor for x, factor in zip(weights, factors, strict=True)
    ]
    total = functools.reduce(ops.add, [ops.sum(x, -1, keepdims=True) for x in weights])
    # The largest logit that counts adds at least this. Empty rows have zero, and keep it.
    scale = 1.0 / ops.maximum(total, least)
    return weights, scale


def _factor(term, dtype):
    """The factor of the exponentials of the logits: mask and bias together, or None.

    Both are smaller than the logits as a rule, so that this takes one pass over these, not two.
    """
    if term.bias is None:
        return None if term.mask is None else ops.cast(term.mask, dtype)
    factor = ops.exp(ops.cast(term.bias, dtype))
    return factor if term.mask is None else factor * ops.cast(term.mask, dtype)


def finite(logits):
    """Casts logits to float32 at least, and clips those of float16 to its range."""
    is_float16 = backend.standardize_dtype(logits.dtype) == "float16"
    logits = precision.at_least_float32(logits)
    return ops.clip(logits, -65504.0, 65504.0) if is_float16 else logits


def _reduce(operation, tensors):
    """Reduces without a gradient: the shift of a softmax cancels in its value and gradient."""
    return ops.stop_gradient(functools.reduce(operation, tensors))
