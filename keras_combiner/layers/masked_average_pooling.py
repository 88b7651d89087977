"""MaskedAveragePooling: one vector for a document."""

import keras
from keras import ops

from keras_combiner.factorizations import precision

WEIGHTINGS = ("equal", "position", "first", "last")


@keras.saving.register_keras_serializable(package="keras_combiner")
class MaskedAveragePooling(keras.layers.Layer):
    """Average over the positions that count.

    Unlike `keras.layers.GlobalAveragePooling1D` it returns zeros, not NaN, for a sequence without
    any position that counts, and sums in float32 at least.

    `weighting` says how much each position counts. For the mask `[1 1 1 0]`:

        "equal"     1 1 1 0
        "position"  1 2 3 0   its place in the sequence, from 1
        "first"     1 0 0 0
        "last"      0 0 1 0

    Masking: positions where the implicit Keras mask of the input, or `mask`, is false are left
    out. The output has no mask.

    Args:
        weighting: str, as above.
        **kwargs: `name`, `dtype` and what else `keras.layers.Layer` takes.

    Call arguments:
        inputs: float tensor `[batch, length, features]`.
        mask: bool tensor `[batch, length]`, or None.

    Returns:
        float tensor `[batch, features]`.

    Raises:
        ValueError: for an unknown `weighting`.

    Example:

    >>> import numpy as np
    >>> tokens, mask = np.array([[[1.0], [3.0], [9.0]]]), np.array([[True, True, False]])
    >>> np.array(MaskedAveragePooling()(tokens, mask=mask)).tolist()
    [[2.0]]
    >>> [float(MaskedAveragePooling(x)(tokens, mask=mask)[0, 0]) for x in ("first", "last")]
    [1.0, 3.0]
    """

    def __init__(self, weighting="equal", **kwargs):
        super().__init__(**kwargs)
        if weighting not in WEIGHTINGS:
            raise ValueError(
                f"`weighting` must be one of {', '.join(map(repr, WEIGHTINGS))}. "
                f"Received: {weighting!r}."
            )
        self.supports_masking = True
        self.weighting = weighting

    def call(self, inputs, mask=None):
        """See the class docstring."""
        x = precision.at_least_float32(inputs)
        if mask is None and self.weighting == "equal":
            return ops.cast(ops.mean(x, axis=1), self.compute_dtype)
        mask = ops.ones_like(x[:, :, 0]) if mask is None else mask
        # In this order the mask is the one that attention reads, once in a graph.
        weights = self._weights(ops.cast(ops.expand_dims(mask, 1), x.dtype))  # [batch, 1, length]
        count = ops.maximum(ops.sum(weights, axis=-1), 1.0)  # [batch, 1]
        total = ops.squeeze(ops.matmul(weights, x), 1)
        return ops.cast(total / count, self.compute_dtype)

    def _weights(self, mask):
        """Weights of a mask of ones and zeros, both `[batch, 1, length]`, in its dtype."""
        if self.weighting == "equal":
            return mask
        places = ops.arange(1, ops.shape(mask)[2] + 1, dtype="int32")
        if self.weighting == "first":
            places = ops.flip(places)  # the first position has the highest place
        places = mask * ops.cast(places, mask.dtype)
        if self.weighting == "position":
            return places
        is_highest = ops.equal(places, ops.max(places, axis=2, keepdims=True, initial=0))
        return mask * ops.cast(is_highest, mask.dtype)

    def compute_mask(self, inputs, previous_mask=None):
        """None: positions are gone."""
        return None

    def compute_output_shape(self, input_shape):
        """`[batch, features]`."""
        return (input_shape[0], input_shape[2])

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {**super().get_config(), "weighting": self.weighting}
