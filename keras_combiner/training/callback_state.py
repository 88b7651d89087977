"""The state of callbacks as JSON and arrays."""

import keras
import numpy as np

from keras_combiner.models.text_training_callback import TextTrainingCallback

# Keras has no protocol for the state of callbacks. Of its own, these have one: attributes.
_OF_KERAS = {
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch", "stopped_epoch", "best_weights"),
    keras.callbacks.ModelCheckpoint: ("best",),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    keras.callbacks.History: ("epoch", "history"),
}


def saved(callbacks):
    """Returns the state of callbacks.

    Args:
        callbacks: list of `keras.callbacks.Callback`. Those of Keras that stop or choose by a
            figure have a state, and every `TextTrainingCallback` that returns one.

    Returns:
        pair of a list, for each callback with a state its kind (the name of its class, and the
        figure that it watches) and a dict that JSON can hold, and a dict of name to numpy array.

    Example:

    >>> states, arrays = saved([keras.callbacks.EarlyStopping(), keras.callbacks.TerminateOnNaN()])
    >>> [(kind, state["wait"]) for kind, state in states], arrays
    ([('EarlyStopping(val_loss, auto)', 0)], {})
    """
    states, arrays = [], {}
    for i, callback in enumerate(_with_state(callbacks)):
        if isinstance(callback, TextTrainingCallback):
            state = callback.get_state()
        else:
            state = {name: _plain(getattr(callback, name, None)) for name in _names(callback)}
            weights = state.get("best_weights")
            if weights is not None:
                arrays.update({f"callbacks/{i}/{j}": x for j, x in enumerate(weights)})
                state["best_weights"] = len(weights)
        states.append([_kind(callback), state])
    return states, arrays


def restore(callbacks, states, arrays):
    """Undoes `saved`, in place.

    Args:
        callbacks: list of `keras.callbacks.Callback`, as in `saved`; those without a state may be
            others.
        states: list of pairs, as `saved` returned them.
        arrays: dict of name to numpy array.

    Raises:
        ValueError: if the states are those of other callbacks, or of ones that watched another
            figure.
        KeyError: if there is something missing in them.
    """
    callbacks = _with_state(callbacks)
    received, expected = [_kind(x) for x in callbacks], [kind for kind, _ in states]
    if received != expected:
        raise ValueError(
            f"The checkpoint is of a training with other callbacks: {', '.join(expected)}. Resume "
            f"with the same ones, in the same order. Received: {', '.join(received)}."
        )
    for i, (callback, (_, state)) in enumerate(zip(callbacks, states, strict=True)):
        if isinstance(callback, TextTrainingCallback):
            callback.set_state(state)
            continue
        for name in _names(callback):
            value = state[name]
            if name == "best_weights" and value is not None:
                value = [arrays[f"callbacks/{i}/{j}"] for j in range(value)]
            setattr(callback, name, value)


def _with_state(callbacks):
    return [x for x in callbacks if _has_state(x)]


def _has_state(callback):
    if isinstance(callback, TextTrainingCallback):
        return callback.get_state() is not None
    return _names(callback) is not None


def _kind(callback):
    watched = [getattr(callback, name, None) for name in ("monitor", "mode")]
    watched = ", ".join(str(x) for x in watched if x is not None)
    return type(callback).__name__ + (f"({watched})" if watched else "")


def _names(callback):
    return next((names for kind, names in _OF_KERAS.items() if isinstance(callback, kind)), None)


def _plain(value):
    """Numbers as Python's own, which JSON restores exactly."""
    if isinstance(value, dict):
        return {name: _plain(x) for name, x in value.items()}
    if isinstance(value, list):
        return [_plain(x) for x in value]
    if value is None or isinstance(value, (int, float)):
        return value
    value = keras.ops.convert_to_numpy(value)
    return value if np.ndim(value) else value.item()
