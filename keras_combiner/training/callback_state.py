"""The state of callbacks as JSON and arrays."""

import keras
import numpy as np

# Keras has no protocol for it. Of its own callbacks, these know more than they were made with.
_OF_KERAS = {
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch", "stopped_epoch", "best_weights"),
    keras.callbacks.ModelCheckpoint: ("best",),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    keras.callbacks.History: ("epoch", "history"),
}


def saved(callbacks):
    """Gives the state of callbacks.

    Args:
        callbacks: list of `keras.callbacks.Callback`. Those of Keras that stop or choose by a
            figure have a state, and whatever has the methods `get_state` and `set_state`.

    Returns:
        pair of a list, one dict that JSON can hold (or None) a callback, and a dict of name to
        numpy array.

    Example:

    >>> states, arrays = saved([keras.callbacks.EarlyStopping(), keras.callbacks.TerminateOnNaN()])
    >>> states[0]["wait"], states[1], arrays
    (0, None, {})
    """
    states, arrays = [], {}
    for i, callback in enumerate(callbacks):
        if hasattr(callback, "get_state"):
            states.append(callback.get_state())
            continue
        names = _names(callback)
        if names is None:
            states.append(None)
            continue
        state = {name: _plain(getattr(callback, name, None)) for name in names}
        weights = state.get("best_weights")
        if weights is not None:
            arrays.update({f"callbacks/{i}/{j}": x for j, x in enumerate(weights)})
            state["best_weights"] = len(weights)
        states.append(state)
    return states, arrays


def restore(callbacks, states, arrays):
    """Undoes `saved`, in place.

    Args:
        callbacks: list of `keras.callbacks.Callback`, as in `saved`.
        states: list of dict or None.
        arrays: dict of name to numpy array.

    Raises:
        ValueError: if the states are those of other callbacks.
    """
    kinds = [hasattr(x, "get_state") or _names(x) is not None for x in callbacks]
    if kinds != [state is not None for state in states]:
        raise ValueError(
            "The checkpoint is of a training with other callbacks. Resume with the same ones, in "
            "the same order."
        )
    for i, (callback, state) in enumerate(zip(callbacks, states, strict=True)):
        if state is None:
            continue
        if hasattr(callback, "set_state"):
            callback.set_state(state)
            continue
        for name, value in state.items():
            if name == "best_weights" and value is not None:
                value = [arrays[f"callbacks/{i}/{j}"] for j in range(value)]
            setattr(callback, name, value)


def _names(callback):
    return next((names for kind, names in _OF_KERAS.items() if isinstance(callback, kind)), None)


def _plain(value):
    """Numbers as Python's own, which JSON gives back exactly."""
    if isinstance(value, dict):
        return {name: _plain(x) for name, x in value.items()}
    if isinstance(value, list):
        return [_plain(x) for x in value]
    if value is None or isinstance(value, (int, float)):
        return value
    value = keras.ops.convert_to_numpy(value)
    return value if np.ndim(value) else value.item()
