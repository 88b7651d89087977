"""A description of how a model learns: to tell whether two trainings are the same."""

import hashlib
import json

import keras

# They change how fast a step is, not what it computes, or are made anew in every process.
_IGNORED = frozenset(
    (
        "auto_scale_loss",
        "build_config",
        "compile_config",
        "jit_compile",
        "module",
        "name",
        "registered_name",
        "run_eagerly",
        "steps_per_execution",
    )
)
_LONGEST_SHOWN = 60


def recipe_of(model):
    """Describes a compiled model and how it learns, without its weights.

    Args:
        model: `keras.Model`, compiled.

    Returns:
        dict of str to what JSON can hold; the names tell users what it is.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)])
    >>> model.compile(keras.optimizers.SGD(0.1), "mse")
    >>> recipe = recipe_of(model)
    >>> recipe["learning_rate of the optimizer"].__round__(3), recipe["loss"]
    (0.1, 'mse')
    """
    return {
        **_flat(model.get_config(), ("model",)),
        **_flat(_compiled_with(model)),
        "weights that are trainable": _digest([bool(x.trainable) for x in model.weights]),
    }


def as_from_json(settings):
    """Returns settings as they come back from JSON, to compare them with kept ones.

    Args:
        settings: dict of str to what JSON can hold, or to numbers and arrays of numpy.

    Returns:
        dict.

    Example:

    >>> import numpy as np
    >>> as_from_json({"class_weight": np.array([1.0, 2.0]), "shape": (3, 4)})
    {'class_weight': [1.0, 2.0], 'shape': [3, 4]}
    """
    return json.loads(json.dumps(settings, default=_plain))


def differences(before, now):
    """Names what is different in two trainings.

    Args:
        before: dict of str to what JSON can hold, as it came from JSON.
        now: another.

    Returns:
        list of str, what has changed and, where that can be read, from what to what.

    Example:

    >>> differences({"seed": 1, "epochs": 2}, {"seed": 1, "epochs": 3})
    ['epochs (it was 2, now 3)']
    """
    changed = [x for x in {**now, **before} if before.get(x) != now.get(x)]
    return [_difference(x, before.get(x), now.get(x)) for x in changed]


def _plain(x):
    return x.tolist() if hasattr(x, "tolist") else type(x).__name__


def _difference(name, *values):
    shown = ["left out" if x is None else str(x) for x in values]
    is_readable = all(
        x is None or (isinstance(x, (int, float, str)) and len(y) <= _LONGEST_SHOWN)
        for x, y in zip(values, shown, strict=True)
    )
    return f"{name} (it was {shown[0]}, now {shown[1]})" if is_readable else name


def _compiled_with(model):
    try:
        # That of Keras: a model may save no optimizer, and have one.
        return keras.Model.get_compile_config(model) or {}
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        # A custom loss or optimizer that cannot be serialized: its class is known at least.
        return {"optimizer": {"class_name": type(model.optimizer).__name__}}


def _flat(x, path=()):
    """The leaves of nested dicts, under names like "rate of the dropout of the model"."""
    if isinstance(x, dict) and x.get("class_name") != "__lambda__":
        leaves = {}
        for key, value in x.items():
            # Names are often numbered; that of a dtype policy is all that it has.
            if key not in _IGNORED or len(x) == 1:
                leaves.update(_flat(value, path if key == "config" else (*path, str(key))))
        return leaves
    if isinstance(x, dict):
        x = "a lambda"  # what it does cannot be told from what it is saved as
    return {" of the ".join(reversed(path)): _digest(x) if isinstance(x, (list, tuple)) else x}


def _digest(x):
    text = json.dumps(x, sort_keys=True, default=_plain)
    return {"digest": hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}
