"""MaskedAveragePooling: one vector for a document."""

import keras
from keras import ops

from keras_combiner.factorizations import precision


@keras.saving.register_keras_serializable(package="keras_combiner")
class MaskedAveragePooling(keras.layers.Layer):
    """Average over the positions that count.

    Unlike `keras.layers.GlobalAveragePooling1D` it returns zeros, not NaN, for a sequence without
    any position that counts, and sums in float32 at least.

    Masking: positions where the implicit Keras mask of the input, or `mask`, is false are left
    out. The output has no mask.

    Args:
        **kwargs: `name`, `dtype` and what else `keras.layers.Layer` takes.

    Call arguments:
        inputs: float tensor `[batch, length, features]`.
        mask: bool tensor `[batch, length]`, or None.

    Returns:
        float tensor `[batch, features]`.

    Example:

    >>> import numpy as np
    >>> tokens = np.array([[[1.0], [3.0], [9.0]]])
    >>> np.array(MaskedAveragePooling()(tokens, mask=np.array([[True, True, False]]))).tolist()
    [[2.0]]
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        """See the class docstring."""
        x = precision.at_least_float32(inputs)
        if mask is None:
            return ops.cast(ops.mean(x, axis=1), self.compute_dtype)
        weights = ops.cast(ops.expand_dims(mask, 1), x.dtype)  # [batch, 1, length]
        count = ops.maximum(ops.sum(weights, axis=-1), 1.0)  # [batch, 1]
        total = ops.squeeze(ops.matmul(weights, x), 1)
        return ops.cast(total / count, self.compute_dtype)

    def compute_mask(self, inputs, previous_mask=None):
        """None: positions are gone."""
        return None

    def compute_output_shape(self, input_shape):
        """`[batch, features]`."""
        return (input_shape[0], input_shape[2])
