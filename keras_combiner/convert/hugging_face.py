"""Weights and vocabulary out of a Hugging Face checkpoint directory."""

import json
from pathlib import Path

import numpy as np

from keras_combiner.convert.encoder_weights import EncoderWeights
from keras_combiner.convert.hugging_face_tokenizer import read_hugging_face_tokenizer
from keras_combiner.layers import gelu_approximate

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
_ROBERTA_TYPES = ("roberta", "xlm-roberta", "camembert")
MODEL_TYPES = ("bert", "distilbert", *_ROBERTA_TYPES)

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": gelu_approximate,
    "gelu_pytorch_tanh": gelu_approximate,
    "gelu_fast": gelu_approximate,
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def read_hugging_face(folder, with_tokenizer=True):
    """Reads a checkpoint of the BERT family.

    Args:
        folder: str or path of a directory with config.json and model.safetensors (or several
            files and their model.safetensors.index.json); for the tokenizer with vocab.txt,
            tokenizer.json, or vocab.json and merges.txt; and tokenizer_config.json if it is not the
            family's usual one. Where there are several of them, they have to agree.
        with_tokenizer: bool, whether to read the tokenizer.

    Returns:
        Pair `(EncoderWeights, Tokenizer)`; None in place of the tokenizer if it was not asked for,
        or `read_hugging_face_tokenizer` returns None.

    Raises:
        ImportError: if safetensors is missing.
        FileNotFoundError: if a file is missing.
        ValueError: if the model is of another family, or has parts that a backbone does not have;
            or for what `read_hugging_face_tokenizer` refuses.

    Source: the formats of https://github.com/huggingface/transformers and
    https://github.com/huggingface/safetensors.
    """
    folder = Path(folder)
    config = _read_json(folder / "config.json")
    model_type = config.get("model_type")
    if model_type not in MODEL_TYPES:
        raise ValueError(
            f"Expected a checkpoint of one of {', '.join(MODEL_TYPES)}. The model_type in "
            f"{folder / 'config.json'} is {model_type!r}."
        )
    _check_config(config)
    weights = _read_weights(folder, config)
    if not with_tokenizer:
        return weights, None
    return weights, read_hugging_face_tokenizer(folder, weights.pad_token_id)


def _check_config(config):
    expected = {
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
    }
    for name, value in expected.items():
        if config.get(name, value) != value:
            raise ValueError(
                f"Expected an encoder with {name}={value!r}. Received: {config[name]!r}."
            )


def _read_weights(folder, config):
    tensors = _Tensors(folder)
    is_distilbert = config["model_type"] == "distilbert"
    is_roberta = config["model_type"] in _ROBERTA_TYPES
    if is_distilbert:
        num_heads, num_layers = config["n_heads"], config["n_layers"]
        activation, dropout = config.get("activation", "gelu"), config.get("dropout", 0.1)
        names, block, epsilon = _DISTILBERT, "transformer.layer", 1e-12
    else:
        num_heads, num_layers = config["num_attention_heads"], config["num_hidden_layers"]
        activation = config.get("hidden_act", "gelu")
        dropout = config.get("hidden_dropout_prob", 0.1)
        names, block = _BERT, "encoder.layer"
        epsilon = config.get("layer_norm_eps", 1e-12)
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"Expected the activation to be one of {', '.join(ACTIVATIONS)}. Received in "
            f"{folder / 'config.json'}: {activation!r}."
        )
    pad_token_id = config.get("pad_token_id", 1 if is_roberta else 0) or 0
    positions = tensors["embeddings.position_embeddings.weight"]
    if is_roberta:
        positions = positions[pad_token_id + 1 :]  # the first token stands right after these
    if not is_distilbert:
        positions = positions + tensors["embeddings.token_type_embeddings.weight"][0]
    return EncoderWeights(
        token_embeddings=tensors["embeddings.word_embeddings.weight"],
        position_embeddings=positions,
        embedding_norm=tensors.norm("embeddings.LayerNorm"),
        layers=[_read_block(tensors, f"{block}.{i}", names, num_heads) for i in range(num_layers)],
        activation=ACTIVATIONS[activation],
        layer_norm_epsilon=epsilon,
        dropout=dropout,
        pad_token_id=pad_token_id,
    )


def _read_block(tensors, prefix, names, num_heads):
    """The weights of a block: PyTorch's kernels are `[out, in]`, not split into heads."""
    block = {}
    for ours, theirs in names.items():
        name = f"{prefix}.{theirs}"
        if ours.endswith("_norm"):
            block[ours] = tensors.norm(name)
            continue
        kernel, bias = tensors[f"{name}.weight"].T, tensors[f"{name}.bias"]
        if ours in ("query", "key", "value"):
            kernel = kernel.reshape((len(kernel), num_heads, -1))
            bias = bias.reshape((num_heads, -1))
        elif ours == "attention_output":
            kernel = kernel.reshape((num_heads, -1, kernel.shape[1]))
        block[ours] = (kernel, bias)
    return block


class _Tensors:
    """The tensors of a checkpoint by name, whatever the model around the encoder is called."""

    def __init__(self, folder):
        safe_open = import_safe_open()
        index = folder / "model.safetensors.index.json"
        if index.exists():
            files = sorted(set(_read_json(index)["weight_map"].values()))
        else:
            files = ["model.safetensors"]
        self._files = {}
        for file in files:
            _check_exists(folder / file)
            opened = safe_open(folder / file, framework="numpy")
            self._files.update(dict.fromkeys(opened.keys(), opened))
        landmark = "embeddings.word_embeddings.weight"
        roots = [x.removesuffix(landmark) for x in self._files if x.endswith(landmark)]
        if len(roots) != 1:
            raise ValueError(
                f"Expected one tensor whose name ends in {landmark} in {folder}. Received "
                f"{len(roots)}."
            )
        self._root = roots[0]

    def __getitem__(self, name):
        name = self._root + name
        if name not in self._files:
            raise ValueError(
                f"Expected a tensor {name}, as config.json says. The checkpoint has none. Save the "
                "model again with save_pretrained."
            )
        return np.asarray(self._files[name].get_tensor(name)).astype("float32")

    def norm(self, name):
        """Scale and offset; old checkpoints call them gamma and beta."""
        if f"{self._root}{name}.gamma" in self._files:
            return self[f"{name}.gamma"], self[f"{name}.beta"]
        return self[f"{name}.weight"], self[f"{name}.bias"]


def import_safe_open():
    """Imports what reads model.safetensors.

    Returns:
        The class `safetensors.safe_open`.

    Raises:
        ImportError: if safetensors is missing (extra "pretrained").
    """
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise ImportError(
            "Hugging Face checkpoints are read with safetensors: "
            "pip install 'keras_combiner[pretrained]'."
        ) from error
    return safe_open


def _read_json(path):
    _check_exists(path)
    return json.loads(path.read_text(encoding="utf-8"))


def _check_exists(path):
    if not path.exists():
        raise FileNotFoundError(
            f"A Hugging Face checkpoint has config.json and model.safetensors. There is no {path}. "
            "A pytorch_model.bin becomes a model.safetensors when Transformers loads the model "
            "and saves it with save_pretrained."
        )
