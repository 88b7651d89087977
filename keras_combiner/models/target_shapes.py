"""Losses and metrics that would compare a class id with every output.

Keras lets a target of one number stand for all outputs of a row where shapes happen to fit, as with
as many rows in a batch as there are classes, and silently computes something else.
"""

import inspect

import keras
import numpy as np

_ROWS = 3
# What Keras makes of these depends on the shapes that it finds.
_ANY_SHAPE = ("accuracy", "acc", "crossentropy", "ce")


def refuse_other_shapes(compiled, num_outputs, advice):
    """Raises a ValueError for losses and metrics of Keras that do not take one number a row.

    Losses and metrics that users have written are not checked.

    Args:
        compiled: dict, arguments of `keras.Model.compile`.
        num_outputs: int, outputs of a row, more than one.
        advice: str, a sentence on what to compile with, for the message.

    Raises:
        ValueError: if a loss or metric takes a target for every output.

    Example:

    >>> refuse_other_shapes({"loss": "sparse_categorical_crossentropy"}, 4, "")
    >>> refuse_other_shapes({"loss": "mse"}, 4, "Compile with another.")
    Traceback (most recent call last):
    ValueError: The loss 'mse' takes a target for each of 4 outputs. Received: one number a row, \
which it would compare with all of them. Compile with another.
    """
    for kind, get in (
        ("loss", keras.losses.get),
        ("metrics", keras.metrics.get),
        ("weighted_metrics", keras.metrics.get),
    ):
        for given in keras.tree.flatten(compiled.get(kind)):
            if given is None or given in _ANY_SHAPE:
                continue
            found = get(given)
            if _is_of_keras(found) and _takes_outputs(found, num_outputs):
                shown = repr(given) if isinstance(given, str) else getattr(given, "name", given)
                raise ValueError(
                    f"The {'loss' if kind == 'loss' else 'metric'} {shown} takes a target for each "
                    f"of {num_outputs} outputs. Received: one number a row, which it would compare "
                    f"with all of them. {advice}"
                )


def shape_of_targets(x, y):
    """Returns the shape of a batch of targets, or None if it is not known before they are read.

    Args:
        x: token ids as `keras.Model.fit` takes them, or a data set of these and targets.
        y: targets; None if `x` brings them.

    Example:

    >>> shape_of_targets(np.ones((8, 40)), np.ones((8, 1)))
    [8, 1]
    """
    batch = getattr(x, "element_spec", None)
    if isinstance(batch, tuple) and len(batch) > 1:
        y = batch[1]
    shape = getattr(y, "shape", None)
    is_known = shape is not None and getattr(shape, "rank", 0) is not None
    return list(shape) if is_known else None


def _is_of_keras(found):
    wrapped = getattr(found, "fn", getattr(found, "_fn", found))
    author = wrapped if inspect.isfunction(wrapped) else type(wrapped)
    return author.__module__.partition(".")[0] == "keras"


def _takes_outputs(found, num_outputs):
    """Whether it computes anything for targets in the shape of the outputs."""
    generator = np.random.default_rng(0)
    outputs = generator.uniform(0.1, 0.9, (_ROWS, num_outputs)).astype("float32")
    outputs /= outputs.sum(-1, keepdims=True)
    targets = np.repeat(np.arange(_ROWS, dtype="float32")[:, None] % 2, num_outputs, axis=1)
    try:
        if isinstance(found, keras.metrics.Metric):
            fresh = type(found).from_config(found.get_config())
            fresh.update_state(targets, outputs)
        else:
            found(targets, outputs)
    except Exception:  # whatever Keras raises for shapes
        return False
    return True
