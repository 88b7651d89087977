"""The normalizations that a transformer block may have, by name."""

import keras

NAMES = ("layer_norm", "layer_norm_no_offset", "rms_norm")


def make(kind, epsilon, **kwargs):
    """Makes a layer that normalizes the features of every token.

    Args:
        kind: str, one of `NAMES`: "layer_norm", which subtracts the mean, divides by the standard
            deviation, scales and adds an offset; "layer_norm_no_offset", without the offset; or
            "rms_norm", which divides by the root mean square and scales.
        epsilon: float, added to the variance or mean square.
        **kwargs: `name`, `dtype` and what else `keras.layers.Layer` takes.

    Returns:
        `keras.layers.LayerNormalization` or `keras.layers.RMSNormalization`, not built.

    Example:

    >>> layer = make("layer_norm_no_offset", 1e-5)
    >>> layer.build((None, 8))
    >>> [weight.name for weight in layer.weights]
    ['gamma']
    """
    check(kind)
    if kind == "rms_norm":
        layer = keras.layers.RMSNormalization(epsilon=epsilon, **kwargs)
        layer.supports_masking = True  # as the other: a mask goes through
        return layer
    return keras.layers.LayerNormalization(epsilon=epsilon, center=kind == "layer_norm", **kwargs)


def check(kind):
    """Raises a ValueError for a normalization that is not one of `NAMES`."""
    if kind not in NAMES:
        raise ValueError(
            f"`normalization` must be one of {', '.join(map(repr, NAMES))}. Received: {kind!r}."
        )
