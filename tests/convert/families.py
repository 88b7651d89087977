"""Models of Transformers with random weights, one of each family, to be converted."""

import functools
import importlib.util
import json

import numpy as np
import pytest

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "max_position_embeddings": 130,
}
# What the configuration of each family is made with, besides `SIZES`.
FAMILIES = {
    "modernbert": {
        "pad_token_id": 3,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "cls_token_id": 1,
        "sep_token_id": 2,
        "local_attention": 6,
    },
    "longformer": {"attention_window": [4, 8, 4], "layer_norm_eps": 1e-5},
    "big_bird": {"hidden_act": "gelu_new"},
    "gte": {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
    "nomic_bert": {},
    "eurobert": {
        "pad_token_id": 3,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 6,
        "mask_token_id": 4,
    },
}
PADDING = {"modernbert": 3, "longformer": 1, "big_bird": 0, "gte": 1, "nomic_bert": 0}
PADDING["eurobert"] = 3
# The settings of "nomic_bert" in the words of GPT-2.
PUBLISHED_NOMIC = {
    "model_type": "nomic_bert",
    "vocab_size": 60,
    "n_embd": 16,
    "n_inner": 20,
    "n_head": 2,
    "n_layer": 3,
    "n_positions": 8192,
    "type_vocab_size": 2,
    "activation_function": "swiglu",
    "layer_norm_epsilon": 1e-12,
    "rotary_emb_base": 1000,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "qkv_proj_bias": False,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "prenorm": False,
    "parallel_block": False,
    "causal": False,
    "use_rms_norm": False,
    "resid_pdrop": 0.0,
    "use_flash_attn": True,
}


def skip_without_transformers():
    """Skips the rest of a module; does not import what takes seconds while tests are collected."""
    for name in ("transformers", "torch"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"compares with {name}, of the extra dev", allow_module_level=True)


@functools.cache
def import_transformers():
    """The module `transformers`, which then warns of nothing."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def save(folder, family, **options):
    """Saves a model of a family with random weights, and returns it."""
    import torch

    transformers = import_transformers()
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(family, **{**SIZES, **FAMILIES[family], **options})
    model = transformers.AutoModel.from_config(config).eval()
    for name, weight in model.named_parameters():
        is_scale = "norm" in name.lower() and name.endswith("weight")
        torch.nn.init.normal_(weight, mean=1.0 if is_scale else 0.0, std=0.3)
    model.save_pretrained(folder)
    return model


def change_config(folder, remove=(), **changes):
    """Rewrites the config.json of a directory."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({x: y for x, y in config.items() if x not in remove}))


def draw_ids(length, padding, seed=0):
    """Token ids `[3, length]` of the source: one text to the end, one padded, one of one token."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, SIZES["vocab_size"] - 1, size=(3, length))
    ids += ids >= padding  # none of them is padding
    ids[1, length // 2 + 1 :] = padding
    ids[2, 1:] = padding
    return ids


def as_ours(ids, padding):
    """Ids of the source as those of the converted model, in which padding is 0."""
    return np.where(ids == padding, 0, np.where(ids == 0, padding, ids)).astype("int32")


def hidden_states(model, ids, valid):
    """The last hidden states of a model of Transformers, of ids that count where `valid`."""
    import torch

    with torch.no_grad():
        outputs = model(torch.tensor(ids), attention_mask=torch.tensor(valid).long())
    return outputs.last_hidden_state.numpy()


def check_equal(backbone, model, padding, lengths=(37, 53), atol=1e-4):
    """Asserts that hidden states are the source's, at lengths of no multiple, with padding."""
    for length in lengths:
        ids = draw_ids(length, padding)
        valid = ids != padding
        expected = hidden_states(model, ids, valid)
        ours = as_ours(ids, padding)
        if backbone.arguments["vocabulary_size"] > SIZES["vocab_size"]:
            # Padding has an id of its own, and what was 0 stands at the end.
            ours = np.where(valid, np.where(ids == 0, SIZES["vocab_size"], ids), 0)
        received = np.array(backbone(ours.astype("int32")))
        np.testing.assert_allclose(received[valid], expected[valid], atol=atol)
