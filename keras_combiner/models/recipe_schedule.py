"""The learning rate of `fit`'s own recipe, and how many steps it is spread over."""

import math

import keras

_INFINITE = -1  # as tf.data says it


def cosine(learning_rate, steps):
    """Returns a schedule that warms up for a tenth of the steps, then decays to zero.

    Args:
        learning_rate: float, the highest.
        steps: int, of the whole training.

    Example:

    >>> schedule = cosine(0.1, steps=4)
    >>> [round(float(schedule(step)), 3) for step in range(5)]
    [0.0, 0.1, 0.075, 0.025, 0.0]
    """
    if steps < 2:  # a warm-up starts from zero, with which a single step would learn nothing
        return keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps=1)
    warmup_steps = max(1, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps,
    )


def num_steps(num_batches, epochs, steps_per_epoch=None):
    """Returns how many steps `keras.Model.fit` takes, or None if that is not known.

    Args:
        num_batches: int, of the data; None if it does not say, or has no end.
        epochs: int, how many are trained.
        steps_per_epoch: int, or None for all batches.

    Example:

    >>> num_steps(3, epochs=2)
    6

    With `steps_per_epoch`, an epoch takes up the data where the last one stopped, and ends where
    the data end:

    >>> num_steps(3, epochs=3, steps_per_epoch=2)
    5
    """
    if num_batches is None:
        return None if steps_per_epoch is None else steps_per_epoch * epochs
    if steps_per_epoch is None:
        return num_batches * epochs
    epochs_a_pass = math.ceil(num_batches / steps_per_epoch)
    passes, rest = divmod(epochs, max(1, epochs_a_pass))
    return passes * num_batches + min(rest * steps_per_epoch, num_batches)


def num_batches(x, batch_size, validation_split=0.0):
    """Returns how many batches an epoch of `keras.Model.fit` has.

    Args:
        x: array, nested arrays, or a data set.
        batch_size: int, examples a batch of arrays.
        validation_split: float, share of the arrays that is not trained on.

    Returns:
        int; None for a data set that does not say; infinity for one that has no end.
    """
    if are_arrays(x):
        examples = keras.tree.flatten(x)[0].shape[0]
        # Keras rounds so when it splits.
        return math.ceil(math.floor(examples * (1.0 - validation_split)) / batch_size)
    if hasattr(x, "cardinality"):
        count = int(x.cardinality())
        return math.inf if count == _INFINITE else count if count >= 0 else None
    if isinstance(x, keras.utils.PyDataset):
        return math.inf if x.num_batches is None else x.num_batches
    return len(x) if hasattr(x, "__len__") else None


def are_arrays(x):
    """Whether `x` is arrays, which Keras makes batches of, and not a data set."""
    return all(hasattr(array, "shape") for array in keras.tree.flatten(x))
