"""The fused kernel of JAX and PyTorch, and where it is called: see `tests.on_backend`."""

from unittest import mock

import keras
import numpy as np

from keras_combiner.factorizations import Fixed
from keras_combiner.layers import CombinerAttention


def built(x, weights=None, **options):
    options = {"block_size": x.shape[1], "kernel_initializer": "zeros", **options}
    layer = CombinerAttention(2, 4, **options)
    layer.build(x.shape, x.shape)
    if weights is not None:
        layer.set_weights(weights)
    return layer


def output_and_gradient(layer, x, upstream, **call):
    if keras.config.backend() == "jax":
        import jax

        def loss(x):
            outputs = layer(x, x, **call)
            return (outputs * upstream).sum(), outputs

        gradient, outputs = jax.jit(jax.grad(loss, has_aux=True))(x)
        return outputs, gradient
    import torch

    tokens = torch.tensor(x, requires_grad=True)
    outputs = layer(tokens, tokens, **call)
    (outputs * torch.tensor(upstream)).sum().backward()
    return outputs.detach(), tokens.grad


def count(layer, tokens, **call):
    """How often a call of the layer calls the fused kernel."""
    with mock.patch.object(
        keras.ops, "dot_product_attention", wraps=keras.ops.dot_product_attention
    ) as kernel:
        if keras.config.backend() == "jax":
            import jax

            with keras.StatelessScope():
                jax.eval_shape(lambda x: layer(x, x, **call), tokens)
        else:
            layer(tokens, tokens, **call)
    return kernel.call_count


def error(x, symbolic=False, call=(), **options):
    """What is said where the kernel is asked for; None if nothing is."""
    try:
        tokens = keras.Input(x.shape[1:]) if symbolic else x
        built(x, flash_attention=True, **options)(tokens, tokens, **dict(call))
    except ValueError as caught:
        return str(caught)


def of_cases(cases, weights, x, upstream, masks):
    """`{case: (calls of the kernel, outputs, gradient)}`."""
    results = {}
    for name, (options, kind, causal) in cases.items():
        layer = built(x, weights[name], **options)
        call = {"attention_mask": masks.get(kind), "use_causal_mask": causal}
        calls = count(layer, x, **call)
        results[name] = calls, *map(np.asarray, output_and_gradient(layer, x, upstream, **call))
    return results


def counts(x):
    """Calls of the kernel, by what is asked for."""
    keras.config.disable_flash_attention()
    try:
        disabled = count(built(x), x)
    finally:
        keras.config.enable_flash_attention()
    return {
        "False": count(built(x, flash_attention=False), x),
        "disabled": disabled,
        "parts": count(built(x, block_size=4), x),
        "neighbors": count(built(x, factorization=Fixed(5, neighbors=1)), x),
        "scores": count(built(x), x, return_attention_scores=True),
        "dropout": count(built(x, dropout=0.5), x, training=True),
        "other plan": count(built(x, factorization="hierarchical"), x),
        "value_dim": count(built(x, value_dim=3), x),
        "empty": count(built(x), x[:0]),
    }


def errors(x, mask):
    """What `flash_attention=True` is answered, by what stands against it."""
    scores = {"return_attention_scores": True}
    return {
        "parts": error(x, block_size=4),
        "parts, symbolic": error(x, block_size=4, symbolic=True),
        "other plan": error(x, factorization="logsparse"),
        "scores": error(x, call=scores),
        "scores, symbolic": error(x, call=scores, symbolic=True),
        "dropout": error(x, dropout=0.5),
        "value_dim": error(x, value_dim=3),
        "machine": error(x, call={"attention_mask": mask}),
    }
