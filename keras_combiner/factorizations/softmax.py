"""One softmax over several groups of logits, with masked entries left out exactly."""

import functools

from keras import backend, ops


def joint_softmax(terms):
    """Softmax over the last axes of all `terms` together.

    Masked entries get a weight of exactly zero, whatever their logits hold. They are filled with
    the smallest logit in sight before the exponential: a fill that can neither raise the
    maximum, nor overflow, nor widen the range of values that an integer format has to represent,
    as a large negative constant would.

    Args:
        terms: list of `(logits, mask)`. Logits are float tensors whose shapes agree in all but
            the last axis; a mask is a bool tensor that broadcasts to its logits, true where an
            entry counts, or None if all of them do.

    Returns:
        A list of float32 tensors shaped like the logits: non-negative weights whose sum over all
        terms is one, or zero in rows that have no entry that counts.

    Example:

    >>> import numpy as np
    >>> logits = np.zeros((1, 2), "float32")
    >>> direct, parts = joint_softmax(
    ...     [(logits, None), (logits + 1e4, np.array([[False, False]]))]
    ... )
    >>> np.array(direct).tolist(), np.array(parts).tolist()
    ([[0.5, 0.5]], [[0.0, 0.0]])
    """
    logits = [finite_float32(term) for term, _ in terms]
    masks = [None if mask is None else ops.cast(mask, "bool") for _, mask in terms]
    if any(mask is not None for mask in masks):
        # At most the largest logit that counts, and finite, whatever the masks.
        smallest = _reduce(
            ops.minimum,
            [
                ops.max(x, -1, keepdims=True) if mask is None else ops.min(x, -1, keepdims=True)
                for x, mask in zip(logits, masks, strict=True)
            ],
        )
        logits = [
            x if mask is None else ops.where(mask, x, smallest)
            for x, mask in zip(logits, masks, strict=True)
        ]
    largest = _reduce(ops.maximum, [ops.max(x, -1, keepdims=True) for x in logits])
    weights = [ops.exp(x - largest) for x in logits]
    weights = [
        x if mask is None else x * ops.cast(mask, x.dtype)
        for x, mask in zip(weights, masks, strict=True)
    ]
    total = functools.reduce(ops.add, [ops.sum(x, -1, keepdims=True) for x in weights])
    scale = 1.0 / ops.where(total > 0, total, ops.ones_like(total))  # empty rows stay zero
    return [x * scale for x in weights]


def finite_float32(logits):
    """Logits in float32; those that float16 could not hold become the largest that it can."""
    is_float16 = backend.standardize_dtype(logits.dtype) == "float16"
    logits = ops.cast(logits, "float32")
    return ops.clip(logits, -65504.0, 65504.0) if is_float16 else logits


def _reduce(operation, tensors):
    """The shift of a softmax cancels in its value, hence also in its gradient."""
    return ops.stop_gradient(functools.reduce(operation, tensors))
