"""In which dtype sums and softmaxes are computed, whatever short format the layers have."""

from keras import backend, ops


def at_least_float32(x):
    """Casts a tensor to float32, or leaves it in float64.

    Args:
        x: tensor of any dtype.

    Returns:
        float32 or float64 tensor of the same shape.

    Example:

    >>> import numpy as np
    >>> [at_least_float32(np.ones(1, dtype)).dtype for dtype in ("float16", "int32", "float64")]
    [tf.float32, tf.float32, tf.float64]
    """
    return ops.cast(x, dtype_for(x))


def square(x):
    """The squares of what `can_be_squared` makes of a tensor."""
    return ops.square(can_be_squared(x))


def can_be_squared(x):
    """A tensor as it is, or float32 for one of float16, which holds no square above 65,504."""
    is_float16 = backend.standardize_dtype(x.dtype) == "float16"
    return at_least_float32(x) if is_float16 else x


def dtype_for(x):
    """The dtype of `at_least_float32(x)`, str: for what goes with it, such as a mask."""
    return "float64" if backend.standardize_dtype(x.dtype) == "float64" else "float32"
