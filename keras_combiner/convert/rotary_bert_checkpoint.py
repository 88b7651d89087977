"""Checkpoints of BERT with rotary positions and gated feed-forward networks: GTE and Nomic."""

import functools
import typing
from collections.abc import Callable

from keras_combiner.convert.block_tensors import PROJECTIONS, BlockSizes, read_block
from keras_combiner.convert.checkpoint_config import REQUIRED
from keras_combiner.convert.checkpoint_tensors import CheckpointTensors
from keras_combiner.convert.encoder_weights import EncoderWeights
from keras_combiner.convert.rotary_settings import Rotation, read_rotation


class _Published(typing.NamedTuple):
    """How a family was published: names of tensors, and settings that do not change the model."""

    names: dict
    norm: str
    beside_the_point: tuple


class _Settings(typing.NamedTuple):
    """What a config.json says, however it is spelled."""

    sizes: BlockSizes
    num_layers: int
    with_bias: set
    rotation: Rotation
    activation: str | Callable
    layer_norm_epsilon: float
    dropout: float
    pad_token_id: int | None
    token_types: int


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
_OF_GTE = _Published(
    {
        ("query", "key", "value"): "encoder.layer.{}.attention.qkv_proj",
        "attention_output": "encoder.layer.{}.attention.o_proj",
        "attention_norm": "encoder.layer.{}.attn_ln",
        ("feedforward_intermediate", "feedforward_gate"): "encoder.layer.{}.mlp.up_gate_proj",
        "feedforward_output": "encoder.layer.{}.mlp.down_proj",
        "feedforward_norm": "encoder.layer.{}.mlp_ln",
    },
    norm="embeddings.LayerNorm",
    beside_the_point=(
        *("attention_probs_dropout_prob", "pack_qkv", "unpad_inputs"),
        *("use_memory_efficient_attention", "logn_attention_clip1"),
    ),
)
_OF_NOMIC = _Published(
    {
        ("query", "key", "value"): "encoder.layers.{}.attn.Wqkv",
        "attention_output": "encoder.layers.{}.attn.out_proj",
        "attention_norm": "encoder.layers.{}.norm1",
        "feedforward_intermediate": "encoder.layers.{}.mlp.fc11",
        "feedforward_gate": "encoder.layers.{}.mlp.fc12",
        "feedforward_output": "encoder.layers.{}.mlp.fc2",
        "feedforward_norm": "encoder.layers.{}.norm2",
    },
    norm="emb_ln",
    beside_the_point=(
        *("attention_probs_dropout_prob", "attn_pdrop", "embd_pdrop", "dense_seq_output"),
        *("fused_bias_fc", "fused_dropout_add_ln", "max_trained_positions", "n_positions"),
        *("pad_vocab_size_multiple", "use_flash_attn", "use_xentropy", "summary_activation"),
        *("summary_first_dropout", "summary_proj_to_labels", "summary_type"),
        *("summary_use_proj", "reorder_and_upcast_attn"),
    ),
)
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
    with_bias = {*PROJECTIONS, "feedforward_output"}
    # Where these are left out, the published code takes others than Transformers does.
    base, padding = 160000.0, 1
    if config.get("model_type") == "new":
        base = padding = REQUIRED
    settings = _settings(
        config,
        with_bias,
        "gelu",
        read_rotation=functools.partial(read_rotation, config, base, is_gte=True),
        dropout=0.1,
        padding=padding,
        token_types=1,
    )
    return _read(folder, config, _OF_GTE, settings)


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
    if config.has("n_embd") and not config.has("hidden_size"):
        return _read(folder, config, _OF_NOMIC, _published_nomic(config))
    settings = _settings(
        config,
        set(),
        "silu",
        read_rotation=functools.partial(read_rotation, config, 1000.0),
        dropout=0.0,
        padding=0,
        token_types=2,
    )
    if config.has("n_embd"):
        _check_same(config, _published_nomic(config), settings)
    return _read(folder, config, _OF_NOMIC, settings)


def _check_same(config, published, settings):
    """Refuses a config.json with both spellings that do not say the same."""
    for name, one, other in zip(_Settings._fields, published, settings, strict=True):
        if one != other:
            raise ValueError(
                f"{config.path} spells settings as published and as Transformers does, and they "
                f"disagree about {name}: {one} and {other}. Keep one of the spellings."
            )


def _settings(config, with_bias, activation, read_rotation, dropout, padding, token_types):
    """Reads a config.json in the words of Transformers; what it leaves out is as given."""
    features = config.integer("hidden_size", 768)
    num_heads = config.integer("num_attention_heads", 12)
    if features % num_heads:
        raise config.error("num_attention_heads", f"a divisor of {features}", num_heads)
    head_dim = config.integer_or_null("head_dim", features // num_heads)
    intermediate = config.integer("intermediate_size", 3072)
    return _Settings(
        BlockSizes(features, intermediate, num_heads, num_heads, head_dim),
        config.integer("num_hidden_layers", 12),
        with_bias,
        read_rotation(head_dim),
        config.activation("hidden_act", activation),
        config.number("layer_norm_eps", 1e-12),
        config.number("hidden_dropout_prob", dropout),
        config.padding(padding),
        _token_types(config, token_types),
    )


def _token_types(config, default):
    """How many types tokens have; 0 if there is no table of them."""
    name = "type_vocab_size"
    return config.integer(name, default) if config.get(name, default) != 0 else 0


def _published_nomic(config):
    """Reads a config.json of Nomic's in the words of GPT-2, as it was published.

    What it may leave out has the value that it has in the published code.
    """
    for name in ("prenorm", "parallel_block", "parallel_block_tied_norm", "use_rms_norm", "causal"):
        config.expect(name, False)
    config.get("rotary_emb_fraction")  # where it is left out, nothing rotates
    config.expect("rotary_emb_fraction", 1.0)
    config.expect("rotary_emb_interleaved", False)
    config.expect("rotary_scaling_factor", None)
    config.expect("rotary_emb_scale_base", None)
    config.expect("scale_attn_weights", True)
    config.expect("scale_attn_by_inverse_layer_idx", False)
    config.expect("moe_every_n_layers", 0, None)
    gate = config.get("activation_function")
    if gate not in _GATES:
        raise config.error("activation_function", " or ".join(_GATES), gate)
    biases = {
        "qkv_proj_bias": PROJECTIONS,
        "mlp_fc1_bias": ("feedforward_intermediate", "feedforward_gate"),
        "mlp_fc2_bias": ("feedforward_output",),
    }
    features, num_heads = config.integer("n_embd"), config.integer("n_head")
    if features % num_heads:
        raise config.error("n_head", f"a divisor of {features}", num_heads)
    head_dim, intermediate = features // num_heads, config.integer("n_inner")
    return _Settings(
        BlockSizes(features, intermediate, num_heads, num_heads, head_dim),
        config.integer("n_layer"),
        {x for name, layers in biases.items() if config.flag(name) for x in layers},
        Rotation(config.number("rotary_emb_base", least=1)),
        _GATES[gate],
        config.number("layer_norm_epsilon"),
        config.number("resid_pdrop", 0.1),
        config.padding(0),
        _token_types(config, 2),
    )


def _read(folder, config, published, settings):
    """Reads the tensors, by whichever names the checkpoint has."""
    config.refuse_unread(published.beside_the_point)
    tensors, sizes = CheckpointTensors(folder, f"{_TOKENS}.weight"), settings.sizes
    names, norm = published.names, published.norm
    if tensors.has(_NAMES["attention_output"].format(0) + ".weight"):
        names, norm = _NAMES, "embeddings.LayerNorm"
    tokens = tensors.token_embeddings(_TOKENS, config, sizes.features)
    if settings.token_types:
        name = "embeddings.token_type_embeddings.weight"
        # All tokens of a single text have the first type.
        tokens = tokens + tensors.of_shape(name, settings.token_types, sizes.features)[0]
    weights = EncoderWeights(
        token_embeddings=tokens,
        position_embeddings=None,
        embedding_norm=tensors.scale(norm, sizes.features, has_offset=True),
        layers=[
            read_block(
                tensors,
                {ours: theirs.format(i) for ours, theirs in names.items()},
                sizes,
                settings.with_bias,
                has_offset=True,
            )
            for i in range(settings.num_layers)
        ],
        activation=settings.activation,
        layer_norm_epsilon=settings.layer_norm_epsilon,
        dropout=settings.dropout,
        pad_token_id=settings.pad_token_id,
        options={
            "rotary": True,
            "rotary_base": settings.rotation.base,
            "rotary_scaling_factor": settings.rotation.scaling_factor,
            "use_gated_activation": True,
            "use_bias": bool(settings.with_bias),
            **sizes.options(),
        },
    )
    tensors.refuse_unread("inv_freq", "position_ids", "token_type_ids", "pooler.")
    return weights
