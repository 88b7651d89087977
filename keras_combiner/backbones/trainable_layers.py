"""Which layers of a model are frozen, as a part of its configuration.

Keras saves `trainable` with the layers of a functional model. A model that makes its layers in its
constructor makes new ones when it is loaded, and must save by itself which of them are frozen.
"""


def trainable_layers(model):
    """Returns the layers whose `trainable` differs from that of the layer that holds them.

    Args:
        model: `keras.Model`.

    Returns:
        dict of str to bool, `trainable` by the path of names from the model to the layer, outer
        layers first; empty if all layers are as the model itself.

    Example:

    >>> import keras
    >>> inputs = keras.Input((3,))
    >>> model = keras.Model(inputs, keras.layers.Dense(2, name="head")(inputs))
    >>> model.get_layer("head").trainable = False
    >>> trainable_layers(model)
    {'head': False}
    """
    return {
        path: layer.trainable
        for path, layer, outer in _walk(model)
        if layer.trainable != outer.trainable
    }


def model_from_config(model_class, config):
    """Makes a model of the arguments of its class, and freezes what was frozen.

    Args:
        model_class: subclass of `keras.Model`.
        config: dict, the arguments and, as "trainable_layers", what `trainable_layers` returned;
            files of earlier versions have no such entry.

    Returns:
        an instance of `model_class`.
    """
    arguments = dict(config)
    trainable = arguments.pop("trainable_layers", {})
    model = model_class(**arguments)
    # Outer layers first: what they are set to, they set their inner ones to.
    for path, layer, outer in _walk(model):
        wanted = trainable.get(path, outer.trainable)
        if layer.trainable != wanted:
            layer.trainable = wanted
    return model


def _walk(outer, path=""):
    """Yields the inner layers of a layer, outer ones first: path, layer, and what holds it."""
    for layer in outer._flatten_layers(include_self=False, recursive=False):
        inner = f"{path}{layer.name}"
        yield inner, layer, outer
        yield from _walk(layer, f"{inner}/")
