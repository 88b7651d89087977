"""Checkpoints of BERT and of those built like it: RoBERTa, DistilBERT, Longformer, BigBird."""

import math

from keras_combiner.convert.block_tensors import into_heads, out_of_heads
from keras_combiner.convert.checkpoint_tensors import CheckpointTensors
from keras_combiner.convert.encoder_weights import EncoderWeights
from keras_combiner.factorizations import Window

# What differs between families: names of weights, and where positions start.
_BERT = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feedforward_intermediate": "intermediate.dense",
    "feedforward_output": "output.dense",
    "feedforward_norm": "output.LayerNorm",
}
_DISTILBERT = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attention_output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "feedforward_intermediate": "ffn.lin1",
    "feedforward_output": "ffn.lin2",
    "feedforward_norm": "output_layer_norm",
}
# These count positions from the one after their padding id.
_ROBERTA_TYPES = ("roberta", "xlm-roberta", "camembert", "longformer")
BERT_TYPES = ("bert", "distilbert", *_ROBERTA_TYPES, "big_bird")


def read_bert(folder, config):
    """Reads a checkpoint of one of `BERT_TYPES`.

    A Longformer's layers attend within windows, as they do where no token is made global; a
    BigBird's to everything, as they do in short texts and with `attention_type="original_full"`.

    Args:
        folder: `pathlib.Path` of the directory.
        config: `CheckpointConfig`.

    Returns:
        `EncoderWeights`.

    Raises:
        ValueError: for settings that an encoder of ours does not have.
    """
    model_type = config.get("model_type")
    config.expect("position_embedding_type", "absolute")
    config.expect("is_decoder", False)
    config.expect("add_cross_attention", False)
    config.expect("quantization_config", None)
    tensors = CheckpointTensors(folder, "embeddings.word_embeddings.weight")
    is_distilbert, is_roberta = model_type == "distilbert", model_type in _ROBERTA_TYPES
    if is_distilbert:
        num_heads, num_layers = config.integer("n_heads"), config.integer("n_layers")
        activation, dropout = config.activation("activation", "gelu"), config.get("dropout", 0.1)
        names, block, epsilon = _DISTILBERT, "transformer.layer", 1e-12
    else:
        num_heads = config.integer("num_attention_heads")
        num_layers = config.integer("num_hidden_layers")
        default = "gelu_new" if model_type == "big_bird" else "gelu"
        activation = config.activation("hidden_act", default)
        dropout = config.get("hidden_dropout_prob", 0.1)
        names, block = _BERT, "encoder.layer"
        epsilon = config.number("layer_norm_eps", 1e-12)
    pad_token_id = config.get("pad_token_id", 1 if is_roberta else 0) or 0
    tokens = tensors["embeddings.word_embeddings.weight"]
    positions = tensors["embeddings.position_embeddings.weight"]
    if is_roberta:
        positions = positions[pad_token_id + 1 :]  # the first token stands right after these
    if not is_distilbert:
        positions = positions + tensors["embeddings.token_type_embeddings.weight"][0]
    if model_type == "big_bird" and config.flag("rescale_embeddings", False):
        tokens = tokens * math.sqrt(tokens.shape[1])
    weights = EncoderWeights(
        token_embeddings=tokens,
        position_embeddings=positions,
        embedding_norm=tensors.norm("embeddings.LayerNorm"),
        layers=[_read_block(tensors, f"{block}.{i}", names, num_heads) for i in range(num_layers)],
        activation=activation,
        layer_norm_epsilon=epsilon,
        dropout=dropout,
        pad_token_id=pad_token_id,
    )
    if model_type == "longformer":
        weights.local_plans = _windows(config, num_layers)
    return weights


def _windows(config, num_layers):
    """The windows of a Longformer's layers."""
    sizes = config.get("attention_window", 512)
    sizes = sizes if isinstance(sizes, list) else [sizes] * num_layers
    if len(sizes) != num_layers or not all(isinstance(x, int) and x > 0 for x in sizes):
        raise config.error(
            "attention_window", f"an int above 0, or one for each of {num_layers} layers", sizes
        )
    return [Window(size) for size in sizes]


def _read_block(tensors, prefix, names, num_heads):
    """The weights of a block: PyTorch's kernels are `[out, in]`, not split into heads."""
    block = {}
    for ours, theirs in names.items():
        name = f"{prefix}.{theirs}"
        if ours.endswith("_norm"):
            block[ours] = tensors.norm(name)
            continue
        arrays = tensors[f"{name}.weight"].T, tensors[f"{name}.bias"]
        if ours in ("query", "key", "value"):
            arrays = into_heads(arrays, num_heads)
        elif ours == "attention_output":
            arrays = out_of_heads(arrays, num_heads)
        block[ours] = arrays
    return block
