"""Matrix products of two activations in attention, which quantization-aware training watches."""

import contextlib
import contextvars

from keras import ops

# Where a part is summarized by local attention, and where queries attend.
NAMES = (
    "part_query",
    "local_logits",
    "part_key",
    "part_variance",
    "part_value",
    "direct_logits",
    "part_logits",
    "variance_logits",
    "direct_outputs",
    "part_outputs",
)

_watcher = contextvars.ContextVar("watcher", default=None)


def matmul(x, y, name, transpose_y=False):
    """`keras.ops.matmul` of the factors, or of what a watcher returns for them.

    Args:
        x: float tensor `[..., I, K]`.
        y: float tensor `[..., K, J]`, or `[..., J, K]` to be transposed.
        name: str, one of `NAMES`: what the product is in the plan. A plan may have several of one
            name.
        transpose_y: bool, whether to transpose `y`.

    Returns:
        float tensor `[..., I, J]`.
    """
    watcher = _watcher.get()
    if watcher is not None:
        x, y = watcher(x, f"{name}/left"), watcher(y, f"{name}/right")
    product = ops.matmul(x, ops.swapaxes(y, -2, -1) if transpose_y else y)
    return product if watcher is None else watcher(product, f"{name}/output")


@contextlib.contextmanager
def watched(watcher):
    """Shows the factors and the results of all products to a watcher until the context ends.

    Holds in this thread or task only.

    Args:
        watcher: callable of a float tensor and its name, a name of `NAMES` followed by "/left",
            "/right" or "/output". What it returns replaces the tensor: for example the same
            numbers, quantized.

    Example:

    >>> import numpy as np
    >>> from keras_combiner.factorizations import Fixed
    >>> seen = []
    >>> def watcher(x, name):
    ...     seen.append(name)
    ...     return x
    >>> heads = np.ones((1, 1, 6, 2), "float32")
    >>> with watched(watcher):
    ...     _ = Fixed(block_size=2).attend(heads, heads, heads, summary="none")
    >>> seen[:3]
    ['direct_logits/left', 'direct_logits/right', 'direct_logits/output']
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)
