"""What users pass to `fit`, `evaluate` and `predict`, checked before anything is read."""

import inspect
import operator

import keras

_KNOWN = {
    name: set(inspect.signature(getattr(keras.Model, name)).parameters)
    for name in ("fit", "evaluate", "predict")
}


def refuse_unknown(method, keywords):
    """Raises a TypeError for keyword arguments that a method of `keras.Model` does not take.

    Args:
        method: "fit", "evaluate" or "predict".
        keywords: dict.

    Example:

    >>> refuse_unknown("predict", {"verbos": 0})
    Traceback (most recent call last):
    TypeError: predict() got an unexpected keyword argument 'verbos'.
    """
    for name in keywords:
        # Keras hands names with an underscore from one of its own methods to another.
        if name not in _KNOWN[method] and not name.startswith("_"):
            raise TypeError(f"{method}() got an unexpected keyword argument {name!r}.")


def whole_number(name, value, least):
    """Returns `value` as a Python int.

    Args:
        name: str, what the argument is called.
        value: int of Python or numpy.
        least: int, the smallest that is allowed.

    Raises:
        ValueError: if `value` is a bool, a float or anything else that is not an int, or too small.

    Example:

    >>> whole_number("epochs", 1.5, least=0)
    Traceback (most recent call last):
    ValueError: `epochs` must be an int of at least 0. Received: 1.5.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise ValueError(f"`{name}` must be an int of at least {least}. Received: {value!r}.")
    return number


def listed_callbacks(callbacks):
    """Returns the callbacks as a flat list.

    Args:
        callbacks: a `keras.callbacks.Callback`, a list or tuple of them, a
            `keras.callbacks.CallbackList`, or None.

    Raises:
        TypeError: for what is not a callback, such as a class or a function.

    Example:

    >>> one = keras.callbacks.TerminateOnNaN()
    >>> listed_callbacks(one) == listed_callbacks(keras.callbacks.CallbackList([one])) == [one]
    True
    """
    if callbacks is None:
        return []
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    if isinstance(callbacks, (list, tuple)):
        return [callback for item in callbacks for callback in listed_callbacks(item)]
    if isinstance(callbacks, type) or not hasattr(callbacks, "set_model"):
        raise TypeError(
            "`callbacks` must be a keras.callbacks.Callback or a list of them. Received: "
            f"{callbacks!r}. Make an object of a class, and wrap a function in "
            "keras.callbacks.LambdaCallback."
        )
    return [callbacks]


def unpacked(validation_data):
    """Returns `validation_data` as a triple: inputs, targets or None, sample weights or None.

    Args:
        validation_data: tuple or list of one to three of these; or inputs alone, such as a data
            set, a reader or a list of texts.

    Raises:
        ValueError: for a tuple or list of another length.

    Example:

    >>> unpacked([["a text", "another"], ["tale", "weather"]])
    (['a text', 'another'], ['tale', 'weather'], None)
    >>> unpacked(["a text", "another"])
    (['a text', 'another'], None, None)
    """
    if not isinstance(validation_data, (list, tuple)) or not len(validation_data):
        return validation_data, None, None
    if any(isinstance(text, (str, bytes)) for text in validation_data):
        return validation_data, None, None
    if len(validation_data) > 3:
        raise ValueError(
            "`validation_data` must be a pair of inputs and targets, a triple of these and sample "
            f"weights, a data set or a reader. Received: {type(validation_data).__name__} of "
            f"{len(validation_data)}."
        )
    return (*validation_data, None, None)[:3]


def hold_strings(x):
    """Whether inputs of a model are strings and not token ids.

    Args:
        x: arrays, tensors, their specs, or strings, in any nesting.

    Returns:
        bool, true if any of them are strings.
    """
    return any(map(_is_string, keras.tree.flatten(x)))


def refuse_strings(model, x):
    """Raises a TypeError for strings in the place of token ids.

    Args:
        model: `keras.Model` that reads token ids.
        x: what it is called with.
    """
    if hold_strings(x):
        raise TypeError(
            f"{type(model).__name__} is called with token ids. Received: strings. Pass a list of "
            "texts to `fit`, `evaluate`, `predict` or `classify`, or make ids of them: "
            "`model.tokenizer(texts, model.sequence_length)`."
        )


def refuse_cloning(model, keywords):
    """Raises a NotImplementedError where `keras.models.clone_model` goes through the layers.

    What Keras makes of them is a plain functional model: without a tokenizer and labels, and
    without ties between weights.

    Args:
        model: `keras.Model`.
        keywords: dict, what its `_run_through_graph` gets; only cloning names both of these.
    """
    if {"operation_fn", "call_fn"} <= keywords.keys():
        kind = type(model).__name__
        raise NotImplementedError(
            f"clone_model copies layers, and a {kind} is more than those. For one with fresh "
            f"weights: `{kind}.from_config(model.get_config())`. For one with the same weights: "
            "`copy.deepcopy(model)`."
        )


def is_validation(settings):
    """Whether `evaluate` is called by the `fit` of Keras, whose data set has been checked.

    Args:
        settings: dict, the keyword arguments of `evaluate`.
    """
    return settings.get("_use_cached_eval_dataset", False)


def refuse_strings_in_data_set(x):
    """Raises a TypeError for a data set whose inputs are strings.

    Args:
        x: `tf.data.Dataset` or `keras.utils.PyDataset`; anything else passes.
    """
    if hasattr(x, "element_spec"):
        inputs = x.element_spec
    elif isinstance(x, keras.utils.PyDataset) and x.num_batches != 0:
        inputs = x[0]
    else:
        return
    if hold_strings(inputs[0] if isinstance(inputs, (tuple, list)) else inputs):
        raise TypeError(
            f"A {type(x).__name__} must hold token ids here. Received: one of strings. Pass lists "
            "of texts and labels, or a reader of keras_combiner.datasets (itself, and not its "
            "`dataset()`), or map it to ids: "
            "`data.map(lambda text, y: (model.tokenizer(text, model.sequence_length), y))`."
        )


def _is_string(x):
    dtype = getattr(x, "dtype", None)
    kind = getattr(dtype, "kind", None)  # of numpy's; "O" is an array of Python's own strings
    return isinstance(x, (str, bytes)) or dtype == "string" or kind in ("O", "S", "T", "U")
