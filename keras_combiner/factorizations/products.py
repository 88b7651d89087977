"""Matrix products of attention: activations with activations, which integers make coarse."""

import contextlib
import contextvars

from keras import ops

# Where a part is summarized by local attention, and where queries attend.
NAMES = (
    "part_query",
    "local_logits",
    "part_key",
    "part_value",
    "direct_logits",
    "part_logits",
    "direct_outputs",
    "part_outputs",
)

_watcher = contextvars.ContextVar("watcher", default=None)


def matmul(x, y, name):
    """`keras.ops.matmul`, or what a watcher makes of it.

    Args:
        x: float tensor `[..., I, K]`.
        y: float tensor `[..., K, J]`.
        name: str, one of `NAMES`: what the product is in the plan. A plan may have several of one
            name.

    Returns:
        float tensor `[..., I, J]`.
    """
    watcher = _watcher.get()
    return ops.matmul(x, y) if watcher is None else watcher(x, y, name)


@contextlib.contextmanager
def watched(watcher):
    """Hands all products to a watcher, in this thread or task, until the context ends.

    Args:
        watcher: callable of `x`, `y` and `name` that returns their product, such as one that
            quantizes them before and after.

    Example:

    >>> import numpy as np
    >>> from keras_combiner.factorizations import Fixed
    >>> seen = []
    >>> def watcher(x, y, name):
    ...     seen.append(name)
    ...     return ops.matmul(x, y)
    >>> heads = np.ones((1, 1, 6, 2), "float32")
    >>> with watched(watcher):
    ...     _ = Fixed(block_size=2).attend(heads, heads, heads, summary="none")
    >>> seen
    ['direct_logits', 'direct_outputs']
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)
