"""The approximation of gelu that BERT was first trained with."""

import keras


@keras.saving.register_keras_serializable(package="keras_combiner")
def gelu_approximate(x):
    """The Gaussian error linear unit by tanh; Keras has a name for the exact one only.

    Args:
        x: float tensor of any shape.

    Returns:
        float tensor of the shape of `x`.

    Example:

    >>> [round(float(y), 3) for y in gelu_approximate(keras.ops.array([-1.0, 0.0, 1.0]))]
    [-0.159, 0.0, 0.841]

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016,
    https://arxiv.org/abs/1606.08415.
    """
    return keras.activations.gelu(x, approximate=True)
