"""The recipe of `fit` on a model that was never compiled.

AdamW with gradient clipping, and a learning rate that warms up and decays along a cosine over the
epochs asked for. With LearningRateScheduler or ReduceLROnPlateau among the callbacks, the learning
rate is theirs to set: it starts at its highest.
"""

import math
import warnings

import keras

from keras_combiner.data_warning import DataWarning
from keras_combiner.models import recipe_schedule

_SET_THE_LEARNING_RATE = (
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ReduceLROnPlateau,
)

# Share of the batches that may be left over when gradients are accumulated, without a word.
_MOST_LEFT_OVER = 0.05


def is_compiled_by_user(model):
    """Whether a `TextTraining` model has another recipe than the default one, or none yet."""
    if not model.compiled or model.optimizer is None:  # that is while `save` is at work
        return False
    return model._compile_config is not model.default_compilation


def compile_by_default(model, steps=None, gradient_accumulation_steps=None):
    """Compiles a model with AdamW, and a learning rate that warms up, then decays along a cosine.

    Args:
        model: `TextTraining`.
        steps: int, of the training; None if they are not known, for a constant learning rate.
        gradient_accumulation_steps: int, or None.
    """
    # The wider the layers, the smaller the steps that they bear.
    learning_rate = model.learning_rate
    if learning_rate is None:
        learning_rate = min(2e-3, 0.2 / model.backbone.arguments["hidden_dim"])
    if steps is not None:
        learning_rate = recipe_schedule.cosine(learning_rate, steps)
    optimizer = keras.optimizers.AdamW(
        learning_rate,
        weight_decay=0.01,
        clipnorm=1.0,
        gradient_accumulation_steps=gradient_accumulation_steps,
    )
    model.compile(optimizer, **model.loss_and_metrics())
    # Every `compile` makes another one, which tells this from those of the user, whatever optimizer
    # these have. The model holds it: there is never a later one in its place in memory.
    model.default_compilation = model._compile_config


def compile_for_fit(model, num_batches, settings):
    """Compiles a model by default, unless its user has; refuses what does not go together.

    Args:
        model: `TextTraining`.
        num_batches: int, of an epoch; None or infinity as in `recipe_schedule.num_batches`.
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
        # Left to the first step, these variables make Keras trace it a second time.
        model.optimizer.build(model.trainable_variables)
    averages = getattr(model.optimizer, "use_ema", True)
    if not averages and _any_of(settings.callbacks, keras.callbacks.SwapEMAWeights):
        raise ValueError(
            "SwapEMAWeights needs an optimizer that averages: compile with one that has "
            "`use_ema=True`."
        )


def _scheduled_steps(num_batches, settings):
    """The steps that the learning rate is spread over; None where there is no schedule."""
    epochs = max(0, settings.epochs - settings.initial_epoch)
    num_batches = None if num_batches == math.inf else num_batches
    steps = recipe_schedule.num_steps(num_batches, epochs, settings.steps_per_epoch)
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
