"""One softmax over several groups of logits, with masked entries left out exactly."""

import functools
from typing import Any, NamedTuple

from keras import backend, ops

from keras_combiner.factorizations import precision

MASKED_BELOW = 30.0  # nats below the smallest logit: a weight of less than 1e-13


class LogitGroup(NamedTuple):
    """Some of the logits of a softmax.

    Attributes:
        logits: float tensor `[..., C]`.
        mask: bool tensor that broadcasts to the logits, true where an entry counts, or None if
            all of them do.
        bias: float32 tensor that broadcasts to the logits and is added to them, at least zero and
            small enough for its exponential, or None.
        masked_are_lower: bool, whether it is known that in every row no masked logit exceeds all
            that count, in this group or another. What does can drown them, and has to be filled.
    """

    logits: Any
    mask: Any = None
    bias: Any = None
    masked_are_lower: bool = False


def joint_softmax(groups):
    """Softmax over the last axes of all `groups` together.

    Masked entries get a weight of exactly zero, whatever their logits hold. They are filled with
    the smallest logit in sight before the exponential: a fill that can neither raise the
    maximum, nor overflow, nor widen the range of values that an integer format has to represent,
    as a large negative constant would.

    Args:
        groups: list of `LogitGroup`, or of tuples that start like one; their logits have shapes
            that agree in all but the last axis.

    Returns:
        A list of float32 tensors (float64 for such logits) shaped like the logits: non-negative
        weights whose sum over all groups is one, or zero in rows that have no entry that counts.

    Example:

    >>> import numpy as np
    >>> logits = np.zeros((1, 2), "float32")
    >>> direct, parts = joint_softmax(
    ...     [(logits, None), (logits + 1e4, np.array([[False, False]]))]
    ... )
    >>> np.array(direct).tolist(), np.array(parts).tolist()
    ([[0.5, 0.5]], [[0.0, 0.0]])
    """
    groups = [LogitGroup(*group) for group in groups]
    logits = [_finite(group.logits) for group in groups]
    # Keras warns of a softmax over one entry.
    if len(groups) == 1 and groups[0].bias is None and logits[0].shape[-1] != 1:
        return [_softmax(logits[0], groups[0].mask)]
    factors = [_factor(group, precision.dtype_for(logits[0])) for group in groups]
    fills = [group.mask is not None and not group.masked_are_lower for group in groups]
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
            ops.where(ops.cast(group.mask, "bool"), x, smallest) if fill else x
            for group, x, fill in zip(groups, logits, fills, strict=True)
        ]
    largest = _reduce(ops.maximum, [ops.max(x, -1, keepdims=True) for x in logits])
    weights = [ops.exp(x - largest) for x in logits]
    weights = [
        x if factor is None else x * factor for x, factor in zip(weights, factors, strict=True)
    ]
    total = functools.reduce(ops.add, [ops.sum(x, -1, keepdims=True) for x in weights])
    # The largest logit that counts adds one, or nearly so. Empty rows have zero, and keep it.
    scale = 1.0 / ops.maximum(total, 0.5)
    return [x * scale for x in weights]


def _softmax(logits, mask):
    """Of one group: backends have a kernel for it, which takes fewer passes over the logits."""
    if mask is None:
        return ops.softmax(logits, axis=-1)
    mask = ops.cast(mask, "bool")
    # Too light for float32 to notice in a sum, and then made zero: the range stays small.
    fill = ops.stop_gradient(ops.min(logits, -1, keepdims=True)) - MASKED_BELOW
    weights = ops.softmax(ops.where(mask, logits, fill), axis=-1)
    return weights * ops.cast(mask, weights.dtype)


def _factor(group, dtype):
    """What the exponentials of the logits are multiplied with: mask and bias together, or None.

    Both are smaller than the logits as a rule, so that this takes one pass over these, not two.
    """
    if group.bias is None:
        return None if group.mask is None else ops.cast(group.mask, dtype)
    factor = ops.exp(ops.cast(group.bias, dtype))
    return factor if group.mask is None else factor * ops.cast(group.mask, dtype)


def _finite(logits):
    """Logits in float32 at least; those that float16 could not hold become its largest."""
    is_float16 = backend.standardize_dtype(logits.dtype) == "float16"
    logits = precision.at_least_float32(logits)
    return ops.clip(logits, -65504.0, 65504.0) if is_float16 else logits


def _reduce(operation, tensors):
    """The shift of a softmax cancels in its value, hence also in its gradient."""
    return ops.stop_gradient(functools.reduce(operation, tensors))
