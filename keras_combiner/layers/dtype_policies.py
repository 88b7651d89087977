"""Dtype policies of layers that are made of layers, some of which may have been quantized."""

import keras
from keras.dtype_policies import DTypePolicyMap


def of_sublayer(layer, name):
    """What a layer passes to a sublayer as its dtype, while it is built.

    A map of policies is looked up at once: a quantized sublayer that knows its policy through a
    map only cannot be saved (Keras 3.15).

    Args:
        layer: `keras.Layer`.
        name: str, the sublayer's name.

    Returns:
        `keras.DTypePolicy`.
    """
    policy = layer.dtype_policy
    return policy[f"{layer.path}/{name}"] if isinstance(policy, DTypePolicyMap) else policy


def serialize(layer, policy):
    """What the config of a layer or model holds as its dtype.

    Quantization gives every sublayer a policy of its own. A layer that builds its sublayers by
    itself has to say so in its config, or it would be loaded with other weights than were saved.

    Args:
        layer: `keras.Layer`, the layer or model.
        policy: `keras.DTypePolicy` or `DTypePolicyMap`, what it was constructed with.

    Returns:
        dict, the config of `policy`; if sublayers have been quantized, that of a `DTypePolicyMap`
        with their policies, and `policy` for all others.

    Example:

    >>> layer = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4, name="attend")
    >>> layer.build((None, 10, 8), (None, 10, 8))
    >>> layer.query_dense.quantize("int8")
    >>> policy = keras.dtype_policies.get(serialize(layer, layer.dtype_policy))
    >>> policy["attend/query"].name, policy["attend/key"].name
    ('int8_from_float32', 'float32')
    """
    quantized = {
        sublayer.path: sublayer.dtype_policy
        for sublayer in layer._flatten_layers(include_self=False)
        if sublayer.quantization_mode is not None
    }
    if quantized and isinstance(policy, DTypePolicyMap):
        policy = DTypePolicyMap(policy.default_policy, {**policy, **quantized})
    elif quantized:
        policy = DTypePolicyMap(policy, quantized)
    return keras.dtype_policies.serialize(policy)
