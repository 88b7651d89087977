"""Any functional Keras model with CombinerAttention in place of MultiHeadAttention."""

import keras

from keras_combiner import factorizations
from keras_combiner.convert.defaults import default_locality
from keras_combiner.convert.encoder_weights import assign_block
from keras_combiner.convert.keras_hub import activation_of, is_keras_hub, read_block
from keras_combiner.convert.positions import extend_positions
from keras_combiner.layers import CombinerAttention, CombinerEncoder


def swap_attention(model, factorization, sequence_length, positions, **options):
    """Copies a functional or Sequential model, with another attention and the same weights.

    Replaced are `keras.layers.MultiHeadAttention`, KerasHub's `TransformerEncoder`, and the
    position tables of KerasHub's `PositionEmbedding` and `TokenAndPositionEmbedding`, which are
    extended. All other layers are copied as they are, inside of nested models too.

    Args:
        model: `keras.Model`, functional or Sequential, with weights.
        factorization: see `CombinerAttention`; or a list with one plan for each layer that is
            replaced, in the order of `model.layers`, those of a nested model in its place.
        sequence_length: int, the length of the position tables.
        positions: str, see `extend_positions`.
        **options: `block_size`, `summary` and `locality`, see `CombinerAttention`; if that is
            None, each layer has what `default_locality` returns.

    Returns:
        `keras.Model` of the same inputs and outputs. Inputs of a fixed length keep it.

    Raises:
        TypeError: if `model` is neither functional nor Sequential.
        ValueError: if nothing was replaced, a list has more or fewer plans, attention is not
            self-attention or has a mask for each pair of positions, or a layer of another class
            has attention inside.
    """
    if not _is_made_of_layers(model):
        raise TypeError(
            "Expected a functional or Sequential Keras model, whose layers can be exchanged. "
            f"Received: {type(model).__name__}. In a model of your own class, write "
            "CombinerAttention for MultiHeadAttention and hand over the weights: "
            "new.set_weights(old.get_weights())."
        )
    replaced = [x for x in _layers(model) if _maker(x) in (_copy_attention, _copy_encoder)]
    plans = factorizations.by_layer(factorization, len(replaced))
    plans = {id(layer): plan for layer, plan in zip(replaced, plans, strict=True)}
    copies = []

    def clone(layer):
        if not isinstance(layer, keras.Layer):
            return layer  # an operation of keras.ops
        make = _maker(layer)
        plan = {"factorization": plans.get(id(layer)), **options}
        if id(layer) in plans and plan["locality"] is None:
            plan["locality"] = default_locality(layer.num_heads)
        copy, transfer = make(layer, plan, sequence_length, positions)
        copies.append((layer, copy, transfer))
        return copy

    how = {} if isinstance(model, keras.Sequential) else {"call_function": _call}
    clone_of_model = keras.models.clone_model(model, clone_function=clone, recursive=True, **how)
    if not any(isinstance(copy, (CombinerAttention, CombinerEncoder)) for _, copy, _ in copies):
        raise ValueError(
            f"The model {model.name!r} has no MultiHeadAttention, and no TransformerEncoder of "
            "KerasHub: there is nothing to replace."
        )
    for layer, copy, transfer in copies:
        transfer(layer, copy)
    return clone_of_model


def _is_made_of_layers(layer):
    """Whether it is a functional or Sequential model, of which Keras can exchange the layers."""
    return isinstance(layer, keras.Sequential) or hasattr(layer, "_run_through_graph")


def _layers(model):
    """Lists the layers of a model, each once, and those of a nested model in its place."""
    found = {}
    for layer in model.layers:
        for x in _layers(layer) if _is_made_of_layers(layer) else [layer]:
            found[id(x)] = x
    return list(found.values())


def _maker(layer):
    """Which of the functions below copies the layer."""
    if isinstance(layer, keras.layers.MultiHeadAttention):
        if type(layer) is keras.layers.MultiHeadAttention:
            return _copy_attention
        if not isinstance(layer, CombinerAttention):
            _refuse(layer)
        return _copy_as_it_is
    if is_keras_hub(layer, "TransformerEncoder"):
        return _copy_encoder
    if is_keras_hub(layer, "PositionEmbedding", "TokenAndPositionEmbedding"):
        return _copy_positions
    inner = layer._flatten_layers(include_self=False)
    is_attention = (keras.layers.MultiHeadAttention, keras.layers.Attention)
    for sublayer in inner:
        if isinstance(sublayer, is_attention) and not isinstance(sublayer, CombinerAttention):
            _refuse(layer)
    return _copy_as_it_is


def _refuse(layer):
    raise ValueError(
        f"The layer {layer.name!r} of class {type(layer).__name__} has an attention of its own "
        "inside, and only its author can exchange it: write CombinerAttention for "
        "MultiHeadAttention there, which takes the same arguments and the same weights, and hand "
        "the weights over with set_weights."
    )


def _copy_attention(layer, plan, sequence_length, positions):
    # Names, initializers and dtypes stay; CombinerAttention refuses arguments that it cannot have.
    return CombinerAttention(**{**layer.get_config(), **plan}), _copy_projections


def _copy_projections(layer, copy):
    # One by one: the plan may have weights of its own.
    for name in ("query_dense", "key_dense", "value_dense", "output_dense"):
        getattr(copy, name).set_weights(getattr(layer, name).get_weights())


def _copy_encoder(layer, plan, sequence_length, positions):
    copy = CombinerEncoder(
        layer.num_heads,
        layer.intermediate_dim,
        dropout=layer.dropout,
        activation=activation_of(layer),
        normalize_first=layer.normalize_first,
        layer_norm_epsilon=layer.layer_norm_epsilon,
        dtype=layer.dtype_policy,
        name=layer.name,
        trainable=layer.trainable,
        **plan,
    )
    return copy, lambda layer, copy: assign_block(copy, read_block(layer))


def _copy_positions(layer, plan, sequence_length, positions):
    config = {**layer.get_config(), "sequence_length": sequence_length}

    def extend(layer, copy):
        table = getattr(layer, "position_embedding", layer).position_embeddings
        for old, new in zip(layer.weights, copy.weights, strict=True):
            array = keras.ops.convert_to_numpy(old)
            if old is table:
                array = extend_positions(array, sequence_length, positions)
            new.assign(array)

    return type(layer).from_config(config), extend


def _copy_as_it_is(layer, plan, sequence_length, positions):
    copy = type(layer).from_config(layer.get_config())
    return copy, lambda layer, copy: copy.set_weights(layer.get_weights())


def _call(layer, *args, **kwargs):
    """Calls a copied layer as the original was called."""
    if isinstance(layer, CombinerAttention):
        _check_is_self_attention(layer, *args, **kwargs)
    elif isinstance(layer, CombinerEncoder) and "padding_mask" in kwargs:
        kwargs = {**kwargs, "mask": kwargs["padding_mask"]}
        del kwargs["padding_mask"]
    return layer(*args, **kwargs)


def _check_is_self_attention(layer, query, value, key=None, **kwargs):
    if value is not query or (key is not None and key is not query):
        raise ValueError(
            f"The layer {layer.name!r} attends from one tensor to another. Only self-attention, "
            "layer(x, x), can be replaced: CombinerAttention summarizes the keys by their queries."
        )
