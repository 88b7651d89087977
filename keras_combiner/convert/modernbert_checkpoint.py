"""Checkpoints of ModernBERT, and of models built like it: mmBERT, Ettin's encoders."""

from keras_combiner.convert.block_tensors import FEEDFORWARD, PROJECTIONS, BlockSizes, read_block
from keras_combiner.convert.checkpoint_tensors import CheckpointTensors
from keras_combiner.convert.encoder_weights import EncoderWeights
from keras_combiner.convert.rotary_settings import rotation_of
from keras_combiner.factorizations import Window

_NAMES = {
    "attention_norm": "layers.{}.attn_norm",
    ("query", "key", "value"): "layers.{}.attn.Wqkv",
    "attention_output": "layers.{}.attn.Wo",
    "feedforward_norm": "layers.{}.mlp_norm",
    # Ours activates the gate, as Llama does. The source calls these two "input" and "gate".
    ("feedforward_gate", "feedforward_intermediate"): "layers.{}.mlp.Wi",
    "feedforward_output": "layers.{}.mlp.Wo",
}
_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
# Where they are left out.
_OTHER_TOKENS = {
    **{"bos_token_id": 50281, "cls_token_id": 50281},
    **{"eos_token_id": 50282, "sep_token_id": 50282},
}
# What the model does not read, or what belongs to its heads and to training.
_BESIDE_THE_POINT = (
    *("position_embedding_type", "layer_norm_eps", "repad_logits_with_grad"),
    *("reference_compile", "deterministic_flash_attn", "sparse_prediction"),
    *("sparse_pred_ignore_index", "embedding_dropout", "attention_dropout"),
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
    sizes = _sizes(config)
    num_layers = config.integer("num_hidden_layers", 22)
    with_bias = {
        *(PROJECTIONS if config.flag("attention_bias", False) else ()),
        *(FEEDFORWARD if config.flag("mlp_bias", False) else ()),
    }
    has_offset = config.flag("norm_bias", False)
    kinds = _kinds_of_layers(config, num_layers)
    rotations = _rotations(config, sizes.head_dim)
    window = Window(config.integer("local_attention", 128))
    settings = {
        "activation": config.activation("hidden_activation", "gelu"),
        "layer_norm_epsilon": config.number("norm_eps", 1e-5),
        "dropout": config.number("mlp_dropout", 0.0),
        "pad_token_id": config.padding(50283, _OTHER_TOKENS),
    }
    config.refuse_unread(_BESIDE_THE_POINT)
    tensors = CheckpointTensors(folder, "embeddings.tok_embeddings.weight")
    tokens = tensors.token_embeddings("embeddings.tok_embeddings", config, sizes.features)
    layers = []
    for i in range(num_layers):
        names = {ours: theirs.format(i) for ours, theirs in _NAMES.items()}
        if i == 0:
            del names["attention_norm"]
        layers.append(read_block(tensors, names, sizes, with_bias, has_offset))
    weights = EncoderWeights(
        token_embeddings=tokens,
        position_embeddings=None,
        embedding_norm=tensors.scale("embeddings.norm", sizes.features, has_offset),
        layers=layers,
        final_norm=tensors.scale("final_norm", sizes.features, has_offset),
        **settings,
        local_plans=[window if kind == _LOCAL else None for kind in kinds],
        options={
            "rotary": True,
            "rotary_base": [rotations[kind].base for kind in kinds],
            "rotary_scaling_factor": [rotations[kind].scaling_factor for kind in kinds],
            "use_gated_activation": True,
            "use_bias": bool(with_bias),
            "normalization": "layer_norm" if has_offset else "layer_norm_no_offset",
        },
    )
    tensors.refuse_unread("inv_freq")
    return weights


def _sizes(config):
    features = config.integer("hidden_size", 768)
    num_heads = config.integer("num_attention_heads", 12)
    if features % num_heads:
        raise config.error("num_attention_heads", f"a divisor of {features}", num_heads)
    intermediate = config.integer("intermediate_size", 1152)
    return BlockSizes(features, intermediate, num_heads, num_heads, features // num_heads)


def _kinds_of_layers(config, num_layers):
    """Whether each layer attends to everything, or to a window: a list of `layer_types`."""
    kinds = config.get("layer_types", None)
    every = config.integer("global_attn_every_n_layers", 3)
    by_number = [_LOCAL if i % every else _GLOBAL for i in range(num_layers)]
    if kinds is None:
        return by_number
    if not isinstance(kinds, list) or len(kinds) != num_layers or set(kinds) - {_GLOBAL, _LOCAL}:
        raise config.error(
            "layer_types", f"{num_layers} times {_GLOBAL!r} or {_LOCAL!r}, one for a layer", kinds
        )
    if config.has("global_attn_every_n_layers") and kinds != by_number:
        raise config.error("layer_types", f"as global_attn_every_n_layers={every} says", kinds)
    return kinds


def _rotations(config, head_dim):
    """How each kind of layer rotates queries and keys, a dict of `Rotation`."""
    config.expect("partial_rotary_factor", 1, None)
    config.expect("rope_scaling", None)
    of_global = config.number("global_rope_theta", 160000.0, least=1)
    of_local = config.get("local_rope_theta", 10000.0)
    # Null stands for the other one, as in Transformers 4.
    of_local = (
        of_global if of_local is None else config.number("local_rope_theta", 10000.0, least=1)
    )
    parameters = config.get("rope_parameters", None) or {}
    if not isinstance(parameters, dict) or set(parameters) - {_GLOBAL, _LOCAL}:
        raise config.error(
            "rope_parameters", f"by kind of layer, {_GLOBAL} and {_LOCAL}", parameters
        )
    return {
        kind: rotation_of(
            config,
            f"rope_parameters.{kind}",
            parameters.get(kind),
            base,
            head_dim,
            base_is_said=config.has(key),
        )
        for kind, base, key in (
            (_GLOBAL, of_global, "global_rope_theta"),
            (_LOCAL, of_local, "local_rope_theta"),
        )
    }
