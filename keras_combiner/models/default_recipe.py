"""The recipe of `fit` on a model that was never compiled.

AdamW with gradient clipping, and a learning rate that warms up and decays along a cosine over the
epochs asked for. If LearningRateScheduler or ReduceLROnPlateau is among the callbacks, it sets the
learning rate, which starts at its highest value.
"""

import math
import warnings

import keras

from keras_combiner.data_warning import DataWarning

_SET_THE_LEARNING_RATE = (
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ReduceLROnPlateau,
)

# Share of the batches that may be left over, without a warning, when gradients are accumulated.
_MOST_LEFT_OVER = 0.05
_INFINITE = -1  # as tf.data says it


def is_compiled_by_user(model):
    """Whether a `TextTraining` model has a recipe, and not the default one."""
    if not model.compiled or model.optimizer is None:  # None while `save` runs
        return False
    return model._compile_config is not model.default_compilation


def compile_by_default(model, steps=None, gradient_accumulation_steps=None):
    """Compiles a model with AdamW, and a learning rate that warms up, then decays along a cosine.

    Args:
        model: `TextTraining`.
        steps: int, of the training; None if they are not known, for a constant learning rate.
        gradient_accumulation_steps: int, or None.
    """
    # Wider layers need smaller steps.
    learning_rate = model.learning_rate
    if learning_rate is None:
        learning_rate = min(2e-3, 0.2 / model.backbone.arguments["hidden_dim"])
    if steps is not None:
        learning_rate = cosine(learning_rate, steps)
    optimizer = keras.optimizers.AdamW(
        learning_rate,
        weight_decay=0.01,
        clipnorm=1.0,
        gradient_accumulation_steps=gradient_accumulation_steps,
    )
    model.compile(optimizer, **model.loss_and_metrics())
    # Every `compile` makes a new object, so its identity tells this compilation from a user's. The
    # model keeps it: no later object can get its place in memory, and its identity.
    model.default_compilation = model._compile_config


def compile_for_fit(model, num_batches, settings):
    """Compiles a model by default, unless its user has; refuses settings that exclude each other.

    Args:
        model: `TextTraining`.
        num_batches: int, of an epoch, None or infinity, as the function `num_batches` returns it.
        settings: `FitSettings`.

    Raises:
        ValueError: for data without an end, accumulated gradients that change nothing, and for
            callbacks that the optimizer does not go with.
    """
    if num_batches == math.inf and settings.steps_per_epoch is None:
        raise ValueError(
            "The data set has no end. Pass `steps_per_epoch` to say where an epoch ends."
        )
    if not is_compiled_by_user(model):
        steps = _scheduled_steps(num_batches, settings)
        compile_by_default(model, steps, settings.gradient_accumulation_steps)
    if not model.optimizer.built:
        # Left to the first step, these variables make Keras trace it a second time.
        model.optimizer.build(model.trainable_variables)
    averages = getattr(model.optimizer, "use_ema", True)
    if not averages and _any_of(settings.callbacks, keras.callbacks.SwapEMAWeights):
        raise ValueError(
            "SwapEMAWeights needs an optimizer that averages: compile with one that has "
            "`use_ema=True`."
        )


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


def _scheduled_steps(num_batches, settings):
    """The steps that the learning rate is spread over; None where there is no schedule."""
    epochs = max(0, settings.epochs - settings.initial_epoch)
    num_batches = None if num_batches == math.inf else num_batches
    steps = num_steps(num_batches, epochs, settings.steps_per_epoch)
    _check_accumulation(settings.gradient_accumulation_steps, steps)
    if _any_of(settings.callbacks, _SET_THE_LEARNING_RATE):
        return None  # they assign to it, which a schedule does not let them
    if steps is None:
        warnings.warn(
            "The data set does not say how many batches it has, so that the learning rate "
            "neither warms up nor decays. Pass `steps_per_epoch`, or give the data set a "
            "cardinality: `data.apply(tf.data.experimental.assert_cardinality(batches))`.",
            stacklevel=5,
        )
    return steps


def _check_accumulation(gradient_accumulation_steps, steps):
    """Raises a ValueError if a training is over before a first change of the weights."""
    if gradient_accumulation_steps is None or not steps:
        return
    if steps < gradient_accumulation_steps:
        raise ValueError(
            f"`gradient_accumulation_steps` is {gradient_accumulation_steps}, but there are only "
            f"{steps} steps in all: the weights would never change. Take fewer, or more epochs."
        )
    left_over = steps % gradient_accumulation_steps
    if left_over > _MOST_LEFT_OVER * steps:
        warnings.warn(
            f"The last {left_over} of {steps} batches change no weight: "
            f"`gradient_accumulation_steps` is {gradient_accumulation_steps}. Take one that "
            "divides the number of batches, or more epochs.",
            DataWarning,
            stacklevel=6,
        )


def _any_of(callbacks, kinds):
    return any(isinstance(x, kinds) for x in callbacks)
