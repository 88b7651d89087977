"""Fake quantization of layers: what the int8 recipe of exports does to them, while they train."""

import contextlib
import functools

import keras
from keras import ops

from keras_combiner.factorizations import products
from keras_combiner.fake_quantization.weights import refuse_changed, summed_dimensions
from keras_combiner.layers import (
    BagOfTokens,
    CombinerAttention,
    DensePerLabel,
    TokenAndPositionEmbedding,
)

_LARGEST = 127  # -127 to 127: weights are symmetric
_PRODUCT = ("left", "right", "output")  # as `products.watched` names them


def names(model):
    """Names the activations of a model that are quantized.

    The inputs and outputs of dense layers and of attention's products, as in
    `keras_combiner.export.quantization`. Heads are quantized where they enter a product, after
    their scaling, which the converter then moves into the projections' weights.

    Args:
        model: `keras.Model`, built.

    Returns:
        A list of str.
    """
    found = []
    for layer in model._flatten_layers():
        if _is_dense(layer):
            found += [f"{layer.path}/input", f"{layer.path}/output"]
        elif isinstance(layer, CombinerAttention):
            found += [f"{layer.path}/{x}/{y}" for x in products.NAMES for y in _PRODUCT]
    return found


def apply(model, ranges, weights_are_quantized):
    """Makes the layers of a model quantize, permanently.

    Args:
        model: `keras.Model`, built.
        ranges: `LearnedRanges` of `names(model)`.
        weights_are_quantized: callable without arguments that returns a bool, asked in every call:
            whether kernels and tables are quantized as well.
    """
    heads = set()  # of attention, which are quantized later, unless they are rotated in between
    for layer in model._flatten_layers():
        if isinstance(layer, CombinerAttention):
            rotated = [layer.query_dense, layer.key_dense] if layer.rotary else []
            projections = [layer.query_dense, layer.key_dense, layer.value_dense]
            heads.update(id(x) for x in projections if x not in rotated)
    for layer in model._flatten_layers():
        if _is_dense(layer):
            refuse_changed(layer)
            _quantize_input(layer, _at(ranges, layer, "input"))
            if id(layer) not in heads:
                _quantize_before_activation(layer, _at(ranges, layer, "output"))
            _quantize_weights(layer, [(layer.kernel, _by_output(layer))], weights_are_quantized)
        elif isinstance(layer, TokenAndPositionEmbedding):
            refuse_changed(layer.token_embedding)
            tables = [layer.token_embedding.embeddings, layer.position_embeddings]
            tables = [(x, _as_a_whole) for x in tables if x is not None]
            _quantize_weights(layer, tables, weights_are_quantized)
        elif isinstance(layer, BagOfTokens):
            _quantize_weights(layer, [(layer.embeddings, _as_a_whole)], weights_are_quantized)
        elif isinstance(layer, CombinerAttention):
            _quantize_products(layer, ranges)


def _is_dense(layer):
    is_dense = isinstance(layer, (keras.layers.Dense, keras.layers.EinsumDense))
    # Files compute this one in float: integers would not make it faster.
    return is_dense and not isinstance(layer, DensePerLabel)


def _at(ranges, layer, name):
    """Returns the function that quantizes an activation of a layer and keeps its dtype."""

    def quantize(x):
        # The ranges of a frozen layer stay. Of another, Keras says whether it is training.
        options = {} if layer.trainable else {"training": False}
        return ops.cast(ranges(x, name=f"{layer.path}/{name}", **options), x.dtype)

    return quantize


def _quantize_input(layer, quantize):
    call = layer.call
    layer.call = lambda x, *args, **kwargs: call(quantize(x), *args, **kwargs)


def _quantize_before_activation(layer, quantize):
    activation = layer.activation
    layer.activation = lambda x: activation(quantize(x))


def _quantize_products(attention, ranges):
    call = attention.call

    def quantize(x, name):
        return _at(ranges, attention, name)(x)

    def call_watched(*args, **kwargs):
        with products.watched(quantize):
            return call(*args, **kwargs)

    attention.call = functools.wraps(call)(call_watched)


def _quantize_weights(layer, weights, are_quantized):
    """Lets a layer see other values in its weights; `weights` are pairs of one and a function."""
    call = layer.call

    def call_with_quantized(*args, **kwargs):
        scope = contextlib.nullcontext()
        if are_quantized():
            values = [(x, ops.cast(f(ops.cast(x, "float32")), x.dtype)) for x, f in weights]
            scope = keras.StatelessScope(state_mapping=values)
        with scope:
            return call(*args, **kwargs)

    layer.call = functools.wraps(call)(call_with_quantized)


def _by_output(layer):
    """Returns the function that quantizes a dense layer's kernel, with a scale for every output."""
    axes = tuple(range(summed_dimensions(layer)))
    return functools.partial(_symmetric, axes=axes)


def _as_a_whole(table):
    """Quantizes a table with one scale."""
    return _symmetric(table, axes=None)


def _symmetric(x, axes):
    """Rounds to 8 bits, scaled by the largest magnitude over `axes`; gradients pass."""
    largest = ops.max(ops.abs(x), axis=axes, keepdims=True)
    scale = ops.maximum(largest, keras.config.epsilon()) / _LARGEST
    return x + ops.stop_gradient(ops.round(x / scale) * scale - x)
