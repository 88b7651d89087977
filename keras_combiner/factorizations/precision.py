"""The dtype in which sums and softmaxes are computed, also for layers in float16 or bfloat16."""

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
    """Returns the squares of a tensor, in float32 if it is in float16."""
    return ops.square(cast_for_squares(x))


def cast_for_squares(x):
    """Casts float16 to float32, because float16 holds no square above 65,504."""
    is_float16 = backend.standardize_dtype(x.dtype) == "float16"
    return at_least_float32(x) if is_float16 else x


def dtype_for(x):
    """Returns the dtype of `at_least_float32(x)`, a str."""
    return "float64" if backend.standardize_dtype(x.dtype) == "float64" else "float32"
