"""Weights out of KerasHub's backbones; KerasHub itself need not be imported for it."""

from keras import ops

from keras_combiner.convert.encoder_weights import EncoderWeights
from keras_combiner.layers import gelu_approximate

# Backbones of one form: an embedding, a normalization, `transformer_layers`. XLM-RoBERTa's is a
# RobertaBackbone.
BACKBONES = ("BertBackbone", "RobertaBackbone", "DistilBertBackbone")


def is_keras_hub(thing, *names):
    """Whether `thing` is of one of these classes of KerasHub, or made from one.

    >>> is_keras_hub("a str", "BertBackbone")
    False
    """
    return any(
        cls.__module__.split(".")[0] == "keras_hub" and cls.__name__ in names
        for cls in type(thing).__mro__
    )


def read_keras_hub(backbone):
    """Reads a `BertBackbone`, `RobertaBackbone` or `DistilBertBackbone`.

    Args:
        backbone: of one of these classes.

    Returns:
        `EncoderWeights`.
    """
    is_bert = is_keras_hub(backbone, "BertBackbone")
    embeddings = backbone if is_bert else backbone.embeddings
    positions = _array(embeddings.position_embedding.position_embeddings)
    if is_bert:
        positions = positions + _array(backbone.segment_embedding.embeddings)[0]
    blocks = backbone.transformer_layers
    return EncoderWeights(
        token_embeddings=_array(backbone.token_embedding.embeddings),
        position_embeddings=positions,
        embedding_norm=_arrays(backbone.embeddings_layer_norm),
        layers=[read_block(block) for block in blocks],
        activation=activation_of(blocks[0]),
        layer_norm_epsilon=blocks[0].layer_norm_epsilon,
        dropout=backbone.dropout,
        pad_token_id=1 if is_keras_hub(backbone, "RobertaBackbone") else 0,
    )


def activation_of(layer):
    """The activation of a `TransformerEncoder`; one that only KerasHub could load becomes ours."""
    is_approximate = getattr(layer.activation, "__name__", "") == "gelu_approximate"
    return gelu_approximate if is_approximate else layer.activation


def read_block(layer):
    """The weights of a built `TransformerEncoder`, a dict as in `EncoderWeights`."""
    attention = layer._self_attention_layer
    return {
        "query": _arrays(attention.query_dense),
        "key": _arrays(attention.key_dense),
        "value": _arrays(attention.value_dense),
        "attention_output": _arrays(attention.output_dense),
        "attention_norm": _arrays(layer._self_attention_layer_norm),
        "feedforward_intermediate": _arrays(layer._feedforward_intermediate_dense),
        "feedforward_output": _arrays(layer._feedforward_output_dense),
        "feedforward_norm": _arrays(layer._feedforward_layer_norm),
    }


def _arrays(layer):
    if layer.quantization_mode is not None:
        raise ValueError(
            f"Expected weights as they were trained. The layer {layer.path!r} has been quantized: "
            "convert the model first, and quantize the result."
        )
    if getattr(layer, "lora_enabled", False):
        return _array(layer.kernel), _array(layer.bias)  # a sum with what LoRA adds
    return tuple(_array(weight) for weight in layer.weights)


def _array(weight):
    return ops.convert_to_numpy(weight).astype("float32")
