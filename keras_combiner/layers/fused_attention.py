"""Softmax attention by the backend's fused kernel, for attention without parts."""

import keras
from keras import ops

from keras_combiner.factorizations import heads

BACKENDS = ("jax", "torch")


def is_available():
    """Returns whether Keras runs on a backend that has a fused kernel."""
    return keras.config.backend() in BACKENDS


def check_backend():
    """Raises a ValueError on a backend without a fused kernel."""
    if not is_available():
        raise ValueError(
            f"`flash_attention=True` cannot be honoured: Keras's {keras.config.backend()} backend "
            f"has no fused kernel, only {' and '.join(BACKENDS)} have. Pass None to use it only "
            "where there is one."
        )


def attend(query, key, value, padding_mask=None, causal=False, flash_attention=None):
    """Computes softmax attention on projected heads, as `Factorization.attend` does without parts.

    Legend: B batch, H heads, T tokens, D key dim, V value dim.

    Args:
        query: float tensor `[B, H, T, D]`.
        key: float tensor `[B, H, T, D]`.
        value: float tensor `[B, H, T, V]`.
        padding_mask: bool tensor `[B, T]`, true at tokens that count, or None for all. The output
            of a query that has nothing to attend to is zero.
        causal: bool, whether a query sees only itself and the past.
        flash_attention: True to insist on the kernel, None to leave the choice to the backend.

    Returns:
        float tensor `[B, H, T, V]`.

    Raises:
        ValueError: if `flash_attention` is True and the kernel does not take these tensors on
            this machine.

    Example:

    >>> import numpy as np
    >>> heads = np.random.default_rng(0).normal(size=(2, 4, 10, 8)).astype("float32")
    >>> tuple(attend(heads, heads, heads, causal=True).shape)
    (2, 4, 10, 8)

    Source: Dao et al., "FlashAttention: Fast and Memory-Efficient Exact Attention with
    IO-Awareness", NeurIPS 2022, https://arxiv.org/abs/2205.14135.
    """
    # Scaled here, because not every kernel behind `dot_product_attention` looks at its `scale`.
    query = query * query.shape[3] ** -0.5
    mask = None
    if padding_mask is not None:
        key, value = (heads.zero_padding(x, padding_mask) for x in (key, value))
        mask = ops.expand_dims(ops.expand_dims(padding_mask, 1), 1)  # [B, 1, 1, T]
        if causal:
            length = ops.shape(query)[2]
            past = ops.tril(ops.ones((length, length), dtype="bool"))
            mask = ops.logical_and(mask, past)  # [B, 1, T, T]
    query, key, value = (ops.transpose(x, (0, 2, 1, 3)) for x in (query, key, value))
    try:
        outputs = ops.dot_product_attention(
            query,
            key,
            value,
            mask=mask,
            scale=1.0,
            is_causal=causal and mask is None,
            flash_attention=flash_attention,
        )
    except (ImportError, RuntimeError) as error:
        if not flash_attention:
            raise
        raise ValueError(f"`flash_attention=True` cannot be honoured: {error}") from error
    outputs = ops.transpose(outputs, (0, 2, 1, 3))
    if mask is None:
        return outputs
    sees_any = ops.expand_dims(ops.any(mask, axis=3), 3)  # [B, 1, T or 1, 1]
    return ops.where(sees_any, outputs, ops.zeros_like(outputs))
