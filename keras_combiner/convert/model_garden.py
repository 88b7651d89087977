"""Weights out of a Model Garden checkpoint of a BERT encoder."""

import os
import re
from pathlib import Path

import tensorflow as tf

from keras_combiner.convert.encoder_weights import EncoderWeights
from keras_combiner.layers import gelu_approximate

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_BLOCK = {
    "query": "_attention_layer/_query_dense",
    "key": "_attention_layer/_key_dense",
    "value": "_attention_layer/_value_dense",
    "attention_output": "_attention_layer/_output_dense",
    "attention_norm": "_attention_layer_norm",
    "feedforward_intermediate": "_intermediate_dense",
    "feedforward_output": "_output_dense",
    "feedforward_norm": "_output_layer_norm",
}
# Of BertEncoderV2, a layer; and of BertEncoder, a functional model, whose checkpoint counts layers.
_EMBEDDINGS = {
    "token": "_embedding_layer",
    "position": "_position_embedding_layer",
    "type": "_type_embedding_layer",
    "norm": "_embedding_norm_layer",
}
_NUMBERED = {name: f"layer_with_weights-{i}" for i, name in enumerate(_EMBEDDINGS)}


def checkpoint_prefix(path):
    """The prefix of a TensorFlow checkpoint, or None if there is none at `path`.

    Args:
        path: str or path: the prefix itself, as of bert_model.ckpt.index, or a directory, whose
            latest checkpoint counts.

    Returns:
        str, or None.
    """
    path = os.fspath(path)
    if Path(f"{path}.index").exists():
        return path
    if Path(path).is_dir():
        found = sorted(x.with_suffix("") for x in Path(path).glob("*.index"))
        return tf.train.latest_checkpoint(path) or (str(found[0]) if len(found) == 1 else None)
    return None


def read_model_garden(prefix):
    """Reads a checkpoint of `BertEncoderV2` or `BertEncoder`, alone or inside of another model.

    A checkpoint holds no settings: post-norm blocks, 10 % of dropout, and the approximate gelu are
    what the encoders have unless told otherwise.

    Args:
        prefix: str, as `checkpoint_prefix` gives it.

    Returns:
        `EncoderWeights`.

    Raises:
        ValueError: if there is no such encoder in the checkpoint, or more than one, or if it has
            parts that a backbone has not.

    Source: the classes of that name of https://github.com/tensorflow/models.
    """
    reader = tf.train.load_checkpoint(prefix)
    names = {x for x in reader.get_variable_to_shape_map() if x.endswith(_VALUE)}

    def read(layer, *weights):
        return tuple(reader.get_tensor(f"{layer}/{x}{_VALUE}") for x in weights)

    embeddings, blocks = _find_encoder(names, prefix)
    (types,) = read(embeddings["type"], "embeddings")
    return EncoderWeights(
        token_embeddings=read(embeddings["token"], "embeddings")[0],
        position_embeddings=read(embeddings["position"], "embeddings")[0] + types[0],
        embedding_norm=read(embeddings["norm"], "gamma", "beta"),
        layers=[
            {
                ours: read(
                    f"{block}/{theirs}",
                    *(("gamma", "beta") if ours.endswith("_norm") else ("kernel", "bias")),
                )
                for ours, theirs in _BLOCK.items()
            }
            for block in blocks
        ],
        activation=gelu_approximate,
    )


def _find_encoder(names, prefix):
    """Where in the checkpoint the embeddings are, a dict, and the blocks, a list."""
    for embeddings, pattern in (
        (_EMBEDDINGS, r"(.*/)?_transformer_layers/(\d+)/"),
        (_NUMBERED, r"(.*/)?layer_with_weights-(\d+)/"),
    ):
        query = re.compile(f"{pattern}_attention_layer/_query_dense/kernel{_VALUE}")
        found = [match for match in map(query.fullmatch, names) if match]
        roots = {match[1] or "" for match in found}
        if len(roots) == 1:
            (root,) = roots
            blocks = [x[0].split("/_attention_layer/")[0] for x in sorted(found, key=_number)]
            embeddings = {name: root + layer for name, layer in embeddings.items()}
            _check_whole(names, root, embeddings, prefix)
            return embeddings, blocks
        if roots:
            raise ValueError(
                f"Expected one encoder in the checkpoint {prefix}. Received "
                f"{len(roots)}, below {', '.join(map(repr, sorted(roots)))}. Write a checkpoint of "
                "the one: tf.train.Checkpoint(encoder=...).write(...)."
            )
    raise ValueError(
        f"Expected a checkpoint of Model Garden's BertEncoderV2 or BertEncoder. There are no "
        f"blocks with attention in {prefix}."
    )


def _check_whole(names, root, embeddings, prefix):
    missing = [x for x in embeddings.values() if not any(y.startswith(f"{x}/") for y in names)]
    if missing:
        raise ValueError(f"The checkpoint {prefix} lacks {', '.join(missing)} of a BERT encoder.")
    if any(x.startswith(f"{root}_embedding_projection/") for x in names):
        raise ValueError(
            "Expected an encoder whose `embedding_width` is its `hidden_size`. The checkpoint "
            f"{prefix} has a projection from one to the other."
        )


def _number(match):
    return int(match[2])
