"""Plans by name, and to and from a layer's config."""

import keras

from keras_combiner.factorizations.axial import AxialHorizontal, AxialVertical
from keras_combiner.factorizations.axial_rowmajor import AxialRowmajor
from keras_combiner.factorizations.factorization import Factorization
from keras_combiner.factorizations.fixed import Fixed
from keras_combiner.factorizations.hierarchical import Hierarchical
from keras_combiner.factorizations.logsparse import Logsparse
from keras_combiner.factorizations.routing import Routing
from keras_combiner.factorizations.window import Window

# What the layer's `block_size` means to each plan.
_PLANS = {
    "fixed": lambda block_size: Fixed(block_size=block_size),
    "hierarchical": lambda block_size: Hierarchical(block_size=block_size),
    "logsparse": lambda block_size: Logsparse(),  # its blocks have sizes of their own
    "axial_vertical": lambda block_size: AxialVertical(width=block_size),
    "axial_horizontal": lambda block_size: AxialHorizontal(width=block_size),
    "axial_rowmajor": lambda block_size: AxialRowmajor(width=block_size),
    "routing": lambda block_size: Routing(group_size=block_size),
    "window": lambda block_size: Window(size=block_size),
}


def names():
    """Returns the names that `get` knows, a tuple of str.

    >>> "fixed" in names()
    True
    """
    return tuple(_PLANS)


def get(identifier, block_size=64):
    """Returns the plan that `identifier` stands for.

    Args:
        identifier: str, a name out of `names()`, or a `Factorization`, which is returned as it is.
        block_size: int, used by plans that are given by name.

    Returns:
        `Factorization`.

    Raises:
        ValueError: for an unknown name, or a `block_size` that the plan refuses.

    Example:

    >>> get("fixed", block_size=32).block_size
    32
    """
    if isinstance(identifier, Factorization):
        return identifier
    if isinstance(identifier, str) and identifier in _PLANS:
        return _PLANS[identifier](block_size)
    raise ValueError(
        f"`factorization` must be one of {', '.join(map(repr, names()))}, or a Factorization "
        f"object. Received: {identifier!r}."
    )


def by_layer(identifier, num_layers):
    """Returns what every layer of a stack takes as its plan.

    Args:
        identifier: str or `Factorization`, the plan of all layers; or a list or tuple of these,
            one for each layer.
        num_layers: int, number of layers.

    Returns:
        list of `num_layers` str or `Factorization`, see `get`.

    Raises:
        ValueError: for a list with more or fewer plans than there are layers.

    Example:

    >>> by_layer("fixed", 2), by_layer(("window", "fixed"), 2)
    (['fixed', 'fixed'], ['window', 'fixed'])
    """
    if not isinstance(identifier, list | tuple):
        return [identifier] * num_layers
    if len(identifier) != num_layers:
        raise ValueError(
            f"A list as `factorization` must have one plan for each layer, {num_layers} in all. "
            f"Received: {len(identifier)}, {list(identifier)!r}. Give as many, or a single plan "
            "for all layers, which is not in a list."
        )
    return list(identifier)


def serialize(identifier):
    """What a config holds for `identifier`.

    A name stays as it is, an object becomes a dictionary, and a list, with one plan for each
    layer, a list of these.
    """
    if isinstance(identifier, list | tuple):
        return [serialize(x) for x in identifier]
    if isinstance(identifier, str):
        return identifier
    return keras.saving.serialize_keras_object(identifier)


def deserialize(config):
    """Undoes `serialize`; names and objects are returned as they are."""
    if isinstance(config, list | tuple):
        return [deserialize(x) for x in config]
    if isinstance(config, dict):
        return keras.saving.deserialize_keras_object(config)
    return config
