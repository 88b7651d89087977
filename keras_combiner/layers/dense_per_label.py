"""DensePerLabel: logits of labels that have a vector each."""

import keras
from keras import ops

from keras_combiner.factorizations import precision


@keras.saving.register_keras_serializable(package="keras_combiner")
class DensePerLabel(keras.layers.Dense):
    """A dense layer in which every unit reads a vector of its own.

    It has the weights of `keras.layers.Dense`, and takes what `LabelAttentionPooling` returns:
    output `c` is the product of vector `c` of the input with column `c` of the kernel, plus bias.
    Sums are computed in float32 at least. `quantize` leaves it as it is.

    Masking: no mask is used; `LabelAttentionPooling` returns none.

    Args:
        units: int, number of labels.
        **kwargs: what else `keras.layers.Dense` takes.

    Call arguments:
        inputs: float tensor `[batch, units, features]`.
        training: bool, which changes nothing.

    Returns:
        float tensor `[batch, units]`.

    Raises:
        ValueError: when it is built, for inputs that do not have `units` vectors.

    Example:

    >>> import numpy as np
    >>> layer = DensePerLabel(2, kernel_initializer="ones")
    >>> np.array(layer(np.array([[[1.0, 2.0], [30.0, 40.0]]]))).tolist()
    [[3.0, 70.0]]
    """

    def build(self, input_shape):
        """Creates kernel `[features, units]` and bias `[units]`."""
        if len(input_shape) != 3 or input_shape[1] != self.units:
            raise ValueError(
                f"Expected inputs of shape [batch, {self.units}, features], a vector for each of "
                f"the {self.units} units. Received: shape {tuple(input_shape)}."
            )
        super().build(input_shape)

    def call(self, inputs, training=None):
        """See the class docstring."""
        kernel = precision.at_least_float32(ops.transpose(self.kernel))  # [units, features]
        x = ops.sum(precision.at_least_float32(inputs) * ops.expand_dims(kernel, 0), axis=-1)
        if self.bias is not None:
            x = x + ops.cast(self.bias, x.dtype)
        x = ops.cast(x, self.compute_dtype)
        return x if self.activation is None else self.activation(x)

    def quantize(self, mode=None, type_check=True, config=None):
        """Not implemented, which makes `keras.Model.quantize` leave the layer as it is."""
        raise self._not_implemented_error(self.quantize)

    def compute_output_shape(self, input_shape):
        """`[batch, units]`."""
        return tuple(input_shape[:2])
