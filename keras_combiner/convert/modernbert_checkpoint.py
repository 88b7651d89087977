"""Checkpoints of ModernBERT, and of models built like it: mmBERT, Ettin's encoders."""

from keras_combiner.convert.checkpoint_tensors import CheckpointTensors
from keras_combiner.convert.encoder_weights import (
    EncoderWeights,
    into_heads,
    out_of_heads,
    split_outputs,
)
from keras_combiner.convert.rotary_settings import base_of, refuse_scaling
from keras_combiner.factorizations import Window

_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
# What the model does not read, or what belongs to its heads and to training.
_BESIDE_THE_POINT = (
    *("position_embedding_type", "layer_norm_eps", "repad_logits_with_grad"),
    *("reference_compile", "deterministic_flash_attn", "sparse_prediction"),
    *("sparse_pred_ignore_index", "embedding_dropout", "attention_dropout"),
    *("global_attn_every_n_layers", "global_rope_theta", "local_rope_theta"),
)


def read_modernbert(folder, config):
    """Reads a checkpoint of ModernBERT.

    Every n-th layer attends to the whole text, the others to a window. Both rotate queries and
    keys, by angles of bases of their own. Blocks are pre-norm, on normalized embeddings.

    Args:
        folder: `pathlib.Path` of the directory.
        config: `CheckpointConfig`.

    Returns:
        `EncoderWeights`.

    Raises:
        ValueError: for settings or tensors that are not understood.

    Reference:
        Warner et al., "Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder", 2024,
        https://arxiv.org/abs/2412.13663, section 2.
    """
    sizes = {
        "features": config.integer("hidden_size", 768),
        "intermediate": config.integer("intermediate_size", 1152),
        "num_heads": config.integer("num_attention_heads", 12),
    }
    num_layers = config.integer("num_hidden_layers", 22)
    if sizes["features"] % sizes["num_heads"]:
        raise config.error(
            "num_attention_heads", f"a divisor of {sizes['features']}", sizes["num_heads"]
        )
    biases = {
        "attention": config.flag("attention_bias", False),
        "feedforward": config.flag("mlp_bias", False),
        "norm": config.flag("norm_bias", False),
    }
    kinds = _kinds_of_layers(config, num_layers)
    bases = _rotary_bases(config)
    window = Window(config.integer("local_attention", 128))
    activation = config.activation("hidden_activation", "gelu")
    epsilon = config.number("norm_eps", 1e-5)
    dropout = config.number("mlp_dropout", 0.0)
    tensors = CheckpointTensors(folder, "embeddings.tok_embeddings.weight")
    tokens = tensors["embeddings.tok_embeddings.weight"]
    pad_token_id = config.token_id("pad_token_id", 50283, len(tokens))
    config.refuse_unread(_BESIDE_THE_POINT)
    features, has_offset = sizes["features"], biases["norm"]
    weights = EncoderWeights(
        token_embeddings=tokens,
        position_embeddings=None,
        embedding_norm=tensors.scale("embeddings.norm", features, has_offset),
        layers=[_read_block(tensors, i, biases, **sizes) for i in range(num_layers)],
        final_norm=tensors.scale("final_norm", features, has_offset),
        activation=activation,
        layer_norm_epsilon=epsilon,
        dropout=dropout,
        pad_token_id=pad_token_id,
        local_plans=[window if kind == _LOCAL else None for kind in kinds],
        options={
            "rotary": True,
            "rotary_base": [bases[kind] for kind in kinds],
            "use_gated_activation": True,
            "use_bias": biases["attention"] or biases["feedforward"],
            "normalization": "layer_norm" if has_offset else "layer_norm_no_offset",
        },
    )
    tensors.refuse_unread("inv_freq")
    return weights


def _kinds_of_layers(config, num_layers):
    """Whether each layer attends to everything, or to a window: a list of `layer_types`."""
    kinds = config.get("layer_types", None)
    if kinds is None:
        every = config.integer("global_attn_every_n_layers", 3)
        return [_LOCAL if i % every else _GLOBAL for i in range(num_layers)]
    if not isinstance(kinds, list) or len(kinds) != num_layers or set(kinds) - {_GLOBAL, _LOCAL}:
        raise config.error(
            "layer_types", f"{num_layers} times {_GLOBAL!r} or {_LOCAL!r}, one for a layer", kinds
        )
    return kinds


def _rotary_bases(config):
    """The bases of the angles by kind of layer, a dict."""
    refuse_scaling(config)
    base = config.number("global_rope_theta", 160000.0, least=1)
    bases = {_GLOBAL: base, _LOCAL: 10000.0}
    if config.has("local_rope_theta"):
        # Null stands for the other one, as in Transformers 4.
        local = config.get("local_rope_theta")
        bases[_LOCAL] = config.checked_number(
            "local_rope_theta", base if local is None else local, least=1
        )
    parameters = config.get("rope_parameters", None)
    if parameters is None:
        return bases
    if not isinstance(parameters, dict) or set(parameters) - set(bases):
        raise config.error(
            "rope_parameters", f"by kind of layer, {_GLOBAL} and {_LOCAL}", parameters
        )
    for kind, key in ((_GLOBAL, "global_rope_theta"), (_LOCAL, "local_rope_theta")):
        name = f"rope_parameters.{kind}"
        base = None if parameters.get(kind) is None else base_of(config, name, parameters[kind])
        if base is None:
            continue
        if config.has(key) and bases[kind] != base:
            raise config.error(key, f"{base:g}, as {name} says", config.get(key))
        bases[kind] = base
    return bases


def _read_block(tensors, i, biases, features, intermediate, num_heads):
    """The weights of block i; the first one has no normalization before its attention."""
    name, use_bias = f"layers.{i}", biases["attention"] or biases["feedforward"]

    def dense(part, outputs, inputs, kind):
        return tensors.dense(f"{name}.{part}", outputs, inputs, biases[kind], use_bias)

    of_query, of_key, of_value = split_outputs(
        dense("attn.Wqkv", 3 * features, features, "attention"), 3
    )
    gate, inner = split_outputs(dense("mlp.Wi", 2 * intermediate, features, "feedforward"), 2)
    block = {
        "query": into_heads(of_query, num_heads),
        "key": into_heads(of_key, num_heads),
        "value": into_heads(of_value, num_heads),
        "attention_output": out_of_heads(
            dense("attn.Wo", features, features, "attention"), num_heads
        ),
        # What is activated is the gate here, as in the layers of Llama; the source says "input".
        "feedforward_gate": gate,
        "feedforward_intermediate": inner,
        "feedforward_output": dense("mlp.Wo", features, intermediate, "feedforward"),
        "feedforward_norm": tensors.scale(f"{name}.mlp_norm", features, biases["norm"]),
    }
    if i:
        block["attention_norm"] = tensors.scale(f"{name}.attn_norm", features, biases["norm"])
    return block
