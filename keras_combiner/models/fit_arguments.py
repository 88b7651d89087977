"""What users pass to `fit`, `evaluate` and `predict`, checked before anything is read."""

import inspect
import operator

import keras
import numpy as np
import tensorflow as tf

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


def evaluation_settings(method, batch_size, keywords):
    """Checks what `evaluate` or `predict` takes.

    Args:
        method: "evaluate" or "predict".
        batch_size: as there.
        keywords: dict, the other keyword arguments.

    Returns:
        pair of the batch size and a dict, the keyword arguments with callbacks in a list.
    """
    refuse_unknown(method, keywords)
    callbacks = keywords.get("callbacks")
    if not isinstance(callbacks, keras.callbacks.CallbackList):  # `fit` passes its own
        keywords = {**keywords, "callbacks": listed_callbacks(callbacks)}
    return checked_batch_size(batch_size), keywords


def checked_batch_size(batch_size):
    """Returns `batch_size` as an int; None stands for the default."""
    return 16 if batch_size is None else whole_number("batch_size", batch_size, 1)


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


def check_validation(x, y, sample_weight, sequence_length):
    """Raises a ValueError for what cannot be validated on, which Keras finds after an epoch.

    Args:
        x: what is not texts, out of `validation_data`: arrays or a data set.
        y: targets, or None.
        sample_weight: as in `keras.Model.fit`, or None.
        sequence_length: int, the most token ids that the model reads.

    Example:

    >>> check_validation(iter([]), None, None, 4096)
    Traceback (most recent call last):
    ValueError: `validation_data` must be a pair of texts and labels or of arrays of token ids and \
targets, a triple with sample weights, a reader, a tf.data.Dataset or a keras.utils.PyDataset: \
all epochs are validated on it. Received: list_iterator.
    """
    if is_data_set(x):
        return
    inputs = keras.tree.flatten(x)
    if not inputs or not all(hasattr(array, "shape") for array in inputs):
        raise ValueError(
            "`validation_data` must be a pair of texts and labels or of arrays of token ids and "
            "targets, a triple with sample weights, a reader, a tf.data.Dataset or a "
            "keras.utils.PyDataset: all epochs are validated on it. Received: "
            f"{type(x).__name__}."
        )
    for array in inputs:
        if len(array.shape) != 2 or array.shape[1] > sequence_length:
            raise ValueError(
                "`validation_data` must have token ids of shape [documents, length], at most "
                f"{sequence_length} long. Received: shape {tuple(array.shape)}."
            )
    lengths = {len(array) for array in inputs}
    for name, values in (("targets", y), ("sample weights", sample_weight)):
        arrays = keras.tree.flatten(values)
        if values is None and name == "sample weights":
            continue
        if not all(hasattr(array, "shape") and len(array.shape) for array in arrays):
            raise ValueError(
                f"Beside token ids, the {name} of `validation_data` must be arrays of numbers. "
                f"Received: {type(values).__name__}."
            )
        lengths.update(map(len, arrays))
    if len(lengths) > 1 or 0 in lengths:
        raise ValueError(
            "`validation_data` must have as many targets, and sample weights if any, as rows of "
            f"token ids, and at least one. Received: {' and '.join(map(str, sorted(lengths)))}."
        )


def is_data_set(x):
    """Whether `x` yields batches, as often as needed."""
    is_loader = type(x).__module__.startswith("torch.utils.data")
    return hasattr(x, "element_spec") or isinstance(x, keras.utils.PyDataset) or is_loader


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
        if getattr(model, "tokenizer", None) is None:
            remedy = "Make ids of them with a tokenizer of keras_combiner.text: `tokenizer(texts, "
            remedy += "sequence_length)`."
        else:
            remedy = "Pass a list of texts to `fit` or `evaluate` (and, of a classifier, `predict` "
            remedy += "or `classify`), or make ids of them: `model.tokenizer(texts, "
            remedy += "model.sequence_length)`."
        kind = type(model).__name__
        raise TypeError(f"{kind} is called with token ids. Received: strings. {remedy}")


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

    Returns:
        list of the first batch of a `keras.utils.PyDataset`, which is asked for it once, or of the
        specs of a `tf.data.Dataset`: inputs, and targets and weights, if any; empty for anything
        else.
    """
    if hasattr(x, "element_spec"):
        batch = x.element_spec
    elif isinstance(x, keras.utils.PyDataset) and x.num_batches != 0:
        batch = x[0]
    else:
        return []
    batch = list(batch) if isinstance(batch, (tuple, list)) else [batch]
    if hold_strings(batch[:1]):
        raise TypeError(
            f"A {type(x).__name__} must hold token ids here. Received: one of strings. Pass lists "
            "of texts and labels, or a reader of keras_combiner.datasets (itself, and not its "
            "`dataset()`), or map it to ids: "
            "`data.map(lambda text, y: (model.tokenizer(text, model.sequence_length), y))`."
        )
    return batch


def batches_of_targets(x, y, steps):
    """Returns the targets beside token ids, an iterable of arrays, to be counted.

    Args:
        x: arrays, or a data set that brings its own targets.
        y: array, or None with a data set.
        steps: int, batches of an epoch; None for all.

    Raises:
        ValueError: for a data set that does not say how many batches it has, or has no end.
    """
    if y is not None:
        return [np.asarray(keras.ops.convert_to_numpy(y))]
    cardinality = (
        int(x.cardinality()) if hasattr(x, "cardinality") else tf.data.INFINITE_CARDINALITY
    )
    if cardinality == tf.data.INFINITE_CARDINALITY or (cardinality < 0 and steps is not None):
        raise ValueError(
            "`class_weight='balanced'` needs targets that can be counted: arrays, or a data set "
            "that ends. Pass a dict of weights."
        )
    return (np.asarray(batch[1]) for batch in x)


def _is_string(x):
    dtype = getattr(x, "dtype", None)
    kind = getattr(dtype, "kind", None)  # of numpy's; "O" is an array of Python's own strings
    return isinstance(x, (str, bytes)) or dtype == "string" or kind in ("O", "S", "T", "U")
