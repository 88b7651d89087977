"""Checkpoints of EuroBERT: the blocks of Llama, without the causal mask."""

from keras_combiner.convert.block_tensors import FEEDFORWARD, PROJECTIONS, BlockSizes, read_block
from keras_combiner.convert.checkpoint_config import REQUIRED
from keras_combiner.convert.checkpoint_tensors import CheckpointTensors
from keras_combiner.convert.encoder_weights import EncoderWeights
from keras_combiner.convert.rotary_settings import read_rotation

_NAMES = {
    "attention_norm": "layers.{}.input_layernorm",
    "query": "layers.{}.self_attn.q_proj",
    "key": "layers.{}.self_attn.k_proj",
    "value": "layers.{}.self_attn.v_proj",
    "attention_output": "layers.{}.self_attn.o_proj",
    "feedforward_norm": "layers.{}.post_attention_layernorm",
    "feedforward_gate": "layers.{}.mlp.gate_proj",
    "feedforward_intermediate": "layers.{}.mlp.up_proj",
    "feedforward_output": "layers.{}.mlp.down_proj",
}
# Where they are left out.
_OTHER_TOKENS = {"bos_token_id": 128000, "eos_token_id": 128001, "mask_token_id": 128002}
_BESIDE_THE_POINT = ("attention_dropout", "pretraining_tp", "clf_pooling")


def read_eurobert(folder, config):
    """Reads a checkpoint of EuroBERT.

    Args:
        folder: `pathlib.Path` of the directory.
        config: `CheckpointConfig`.

    Returns:
        `EncoderWeights`.

    Raises:
        ValueError: for settings or tensors that are not understood.

    Reference:
        Boizard et al., "EuroBERT: Scaling Multilingual Encoders for European Languages", 2025,
        https://arxiv.org/abs/2503.05500, section 2.
    """
    features = config.integer("hidden_size", 768)
    num_heads = config.integer("num_attention_heads", 12)
    of_keys = config.integer_or_null("num_key_value_heads", num_heads)
    sizes = BlockSizes(
        features,
        config.integer("intermediate_size", 3072),
        num_heads,
        of_keys,
        config.integer_or_null("head_dim", features // num_heads),
    )
    with_bias = {
        *(PROJECTIONS if config.flag("attention_bias", False) else ()),
        *(FEEDFORWARD if config.flag("mlp_bias", False) else ()),
    }
    # Where the base is left out, the published code takes another one than Transformers does.
    rotation = read_rotation(config, REQUIRED, sizes.head_dim)
    num_layers = config.integer("num_hidden_layers", 12)
    settings = {
        "activation": config.activation("hidden_act", "silu"),
        "layer_norm_epsilon": config.number("rms_norm_eps", 1e-5),
        "dropout": config.number("hidden_dropout", 0.0),
        "pad_token_id": config.padding(128001, _OTHER_TOKENS),
    }
    config.refuse_unread(_BESIDE_THE_POINT)
    tensors = CheckpointTensors(folder, "embed_tokens.weight")
    tokens = tensors.token_embeddings("embed_tokens", config, features)
    weights = EncoderWeights(
        token_embeddings=tokens,
        position_embeddings=None,
        embedding_norm=None,
        layers=[
            read_block(
                tensors,
                {ours: theirs.format(i) for ours, theirs in _NAMES.items()},
                sizes,
                with_bias,
                has_offset=False,
            )
            for i in range(num_layers)
        ],
        final_norm=tensors.scale("norm", features, has_offset=False),
        **settings,
        options={
            "rotary": True,
            "rotary_base": rotation.base,
            "rotary_scaling_factor": rotation.scaling_factor,
            "use_gated_activation": True,
            "use_bias": bool(with_bias),
            "normalization": "rms_norm",
            **sizes.options(),
        },
    )
    tensors.refuse_unread("inv_freq")
    return weights
