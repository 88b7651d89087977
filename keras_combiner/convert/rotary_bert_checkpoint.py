"""Checkpoints of BERT with rotary positions and gated feed-forward networks: GTE and Nomic."""

import functools

from keras_combiner.convert.block_tensors import PROJECTIONS, BlockSizes, read_block
from keras_combiner.convert.checkpoint_tensors import CheckpointTensors
from keras_combiner.convert.encoder_weights import EncoderWeights
from keras_combiner.convert.rotary_settings import Rotation, read_rotation

_TOKENS = "embeddings.word_embeddings"
# As Transformers 5 has them, and as they were published (and are still written).
_NAMES = {
    "query": "layers.{}.self_attn.q_proj",
    "key": "layers.{}.self_attn.k_proj",
    "value": "layers.{}.self_attn.v_proj",
    "attention_output": "layers.{}.self_attn.o_proj",
    "attention_norm": "layers.{}.post_attention_layernorm",
    "feedforward_gate": "layers.{}.mlp.gate_proj",
    "feedforward_intermediate": "layers.{}.mlp.up_proj",
    "feedforward_output": "layers.{}.mlp.down_proj",
    "feedforward_norm": "layers.{}.post_mlp_layernorm",
}
_GTE_NAMES = {
    ("query", "key", "value"): "encoder.layer.{}.attention.qkv_proj",
    "attention_output": "encoder.layer.{}.attention.o_proj",
    "attention_norm": "encoder.layer.{}.attn_ln",
    ("feedforward_intermediate", "feedforward_gate"): "encoder.layer.{}.mlp.up_gate_proj",
    "feedforward_output": "encoder.layer.{}.mlp.down_proj",
    "feedforward_norm": "encoder.layer.{}.mlp_ln",
}
_NOMIC_NAMES = {
    ("query", "key", "value"): "encoder.layers.{}.attn.Wqkv",
    "attention_output": "encoder.layers.{}.attn.out_proj",
    "attention_norm": "encoder.layers.{}.norm1",
    "feedforward_intermediate": "encoder.layers.{}.mlp.fc11",
    "feedforward_gate": "encoder.layers.{}.mlp.fc12",
    "feedforward_output": "encoder.layers.{}.mlp.fc2",
    "feedforward_norm": "encoder.layers.{}.norm2",
}
# Of the models as they were published: how they compute, or what only training needs.
_OF_GTE = ("attention_probs_dropout_prob", "pack_qkv", "unpad_inputs")
_OF_GTE += ("use_memory_efficient_attention", "logn_attention_clip1")
_OF_NOMIC = ("attention_probs_dropout_prob", "attn_pdrop", "embd_pdrop", "dense_seq_output")
_OF_NOMIC += ("fused_bias_fc", "fused_dropout_add_ln", "max_trained_positions", "n_positions")
_OF_NOMIC += ("pad_vocab_size_multiple", "use_flash_attn", "use_xentropy", "summary_activation")
_OF_NOMIC += ("summary_first_dropout", "summary_proj_to_labels", "summary_type")
_OF_NOMIC += ("summary_use_proj", "reorder_and_upcast_attn", "rotary_emb_scale_base")
_GATES = {"swiglu": "silu", "geglu": "gelu"}


def read_gte(folder, config):
    """Reads a checkpoint of GTE, whose model_type is "gte" or, as it was published, "new".

    Args:
        folder: `pathlib.Path` of the directory.
        config: `CheckpointConfig`.

    Returns:
        `EncoderWeights`.

    Raises:
        ValueError: for settings or tensors that are not understood.

    Reference:
        Zhang et al., "mGTE: Generalized Long-Context Text Representation and Reranking Models for
        Multilingual Text Retrieval", 2024, https://arxiv.org/abs/2407.19669, section 2.
    """
    config.expect("layer_norm_type", "layer_norm")
    config.expect("position_embedding_type", "rope")
    config.expect("logn_attention_scale", False)
    sizes = _sizes(config)
    return _read(
        folder,
        config,
        sizes=sizes,
        names=_GTE_NAMES,
        norm_name="embeddings.LayerNorm",
        with_bias={*PROJECTIONS, "feedforward_output"},
        rotation=read_rotation(config, 160000.0, sizes.head_dim),
        activation=config.activation("hidden_act", "gelu"),
        epsilon=config.number("layer_norm_eps", 1e-12),
        default_dropout=0.1,
        default_padding=1,
        beside_the_point=_OF_GTE,
    )


def read_nomic(folder, config):
    """Reads a checkpoint of Nomic's BERT, with settings as in Transformers or as published.

    Args:
        folder: `pathlib.Path` of the directory.
        config: `CheckpointConfig`.

    Returns:
        `EncoderWeights`.

    Raises:
        ValueError: for settings or tensors that are not understood, such as experts.

    Reference:
        Nussbaum et al., "Nomic Embed: Training a Reproducible Long Context Text Embedder", 2024,
        https://arxiv.org/abs/2402.01613, section 3.
    """
    read = functools.partial(_read, folder, config, names=_NOMIC_NAMES, norm_name="emb_ln")
    read = functools.partial(
        read, default_dropout=0.0, default_padding=0, beside_the_point=_OF_NOMIC
    )
    if not config.has("n_embd"):
        sizes = _sizes(config)
        return read(
            sizes=sizes,
            with_bias=set(),
            rotation=read_rotation(config, 1000.0, sizes.head_dim),
            activation=config.activation("hidden_act", "silu"),
            epsilon=config.number("layer_norm_eps", 1e-12),
        )
    _check_published_nomic(config)
    gate = config.get("activation_function")
    if gate not in _GATES:
        raise config.error("activation_function", " or ".join(_GATES), gate)
    biases = {
        "qkv_proj_bias": PROJECTIONS,
        "mlp_fc1_bias": ("feedforward_intermediate", "feedforward_gate"),
        "mlp_fc2_bias": ("feedforward_output",),
    }
    features, num_heads = config.integer("n_embd"), config.integer("n_head")
    return read(
        sizes=BlockSizes(
            features, config.integer("n_inner"), num_heads, num_heads, features // num_heads
        ),
        with_bias={x for name, layers in biases.items() if config.flag(name) for x in layers},
        rotation=Rotation(config.number("rotary_emb_base", 10000.0, least=1)),
        activation=_GATES[gate],
        epsilon=config.number("layer_norm_epsilon", 1e-12),
    )


def _check_published_nomic(config):
    for name in ("prenorm", "parallel_block", "parallel_block_tied_norm", "use_rms_norm", "causal"):
        config.expect(name, False)
    config.expect("rotary_emb_fraction", 1.0)
    config.expect("rotary_emb_interleaved", False)
    config.expect("rotary_scaling_factor", None)
    config.expect("scale_attn_weights", True)
    config.expect("scale_attn_by_inverse_layer_idx", False)
    config.expect("moe_every_n_layers", 0, None)


def _sizes(config):
    features, num_heads = (
        config.integer("hidden_size", 768),
        config.integer("num_attention_heads", 12),
    )
    if features % num_heads:
        raise config.error("num_attention_heads", f"a divisor of {features}", num_heads)
    head_dim = config.get("head_dim", None) or features // num_heads
    intermediate = config.integer("intermediate_size", 3072)
    return BlockSizes(features, intermediate, num_heads, num_heads, head_dim)


def _read(
    folder,
    config,
    sizes,
    names,
    norm_name,
    with_bias,
    rotation,
    activation,
    epsilon,
    default_dropout,
    default_padding,
    beside_the_point,
):
    """Reads the tensors; `names` and `norm_name` are those of the checkpoint as published."""
    tensors = CheckpointTensors(folder, f"{_TOKENS}.weight")
    if tensors.has(_NAMES["attention_output"].format(0) + ".weight"):
        names = _NAMES
    if not tensors.has(f"{norm_name}.weight"):
        norm_name = "embeddings.LayerNorm"
    published = config.has("n_embd")
    num_layers = config.integer("n_layer" if published else "num_hidden_layers", 12)
    dropout = config.number("resid_pdrop" if published else "hidden_dropout_prob", default_dropout)
    tokens = tensors.token_embeddings(_TOKENS, config, sizes.features)
    num_types = config.get("type_vocab_size", 0)
    if num_types:
        # All tokens of a single text have the first type.
        tokens = tokens + tensors["embeddings.token_type_embeddings.weight"][0]
    weights = EncoderWeights(
        token_embeddings=tokens,
        position_embeddings=None,
        embedding_norm=tensors.scale(norm_name, sizes.features, has_offset=True),
        layers=[
            read_block(
                tensors,
                {ours: theirs.format(i) for ours, theirs in names.items()},
                sizes,
                with_bias,
                has_offset=True,
            )
            for i in range(num_layers)
        ],
        activation=activation,
        layer_norm_epsilon=epsilon,
        dropout=dropout,
        pad_token_id=config.padding(default_padding, len(tokens)),
        options={
            "rotary": True,
            "rotary_base": rotation.base,
            "rotary_scaling_factor": rotation.scaling_factor,
            "use_gated_activation": True,
            "use_bias": bool(with_bias),
            **sizes.options(),
        },
    )
    config.refuse_unread(beside_the_point)
    tensors.refuse_unread("inv_freq", "position_ids", "token_type_ids", "pooler.")
    return weights
