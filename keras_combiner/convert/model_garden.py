"""Weights out of a Model Garden checkpoint of a BERT encoder."""

import os
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from keras_combiner.convert.encoder_weights import EncoderWeights
from keras_combiner.layers import gelu_approximate

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
_NORM, _DENSE = ("gamma", "beta"), ("kernel", "bias")


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
    the encoders' defaults.

    Args:
        prefix: str, as `checkpoint_prefix` returns it.

    Returns:
        `EncoderWeights`.

    Raises:
        ValueError: if there is no such encoder in the checkpoint, or more than one, or if it has
            parts that a backbone does not have.

    Source: the classes of that name of https://github.com/tensorflow/models.
    """
    checkpoint = _Checkpoint(prefix)
    encoder, embeddings, blocks = _find_encoder(checkpoint, prefix)

    def read(layer, *weights):
        return tuple(checkpoint.read(encoder, f"{layer}/{weight}") for weight in weights)

    (types,) = read(embeddings["type"], "embeddings")
    return EncoderWeights(
        token_embeddings=read(embeddings["token"], "embeddings")[0],
        position_embeddings=read(embeddings["position"], "embeddings")[0] + types[0],
        embedding_norm=read(embeddings["norm"], *_NORM),
        layers=[
            {
                ours: read(f"{block}/{theirs}", *(_NORM if ours.endswith("_norm") else _DENSE))
                for ours, theirs in _BLOCK.items()
            }
            for block in blocks
        ],
        activation=gelu_approximate,
    )


def _find_encoder(checkpoint, prefix):
    """The encoder's object; by name below it, its embeddings, a dict, and its blocks, a list."""
    found = []
    for node in checkpoint.nodes:
        if checkpoint.has(node, [*_EMBEDDINGS.values(), "_transformer_layers/0"]):
            if checkpoint.has(node, ["_embedding_projection"]):
                raise ValueError(
                    "Expected an encoder whose `embedding_width` is its `hidden_size`. The "
                    f"checkpoint {prefix} has a projection from one to the other."
                )
            blocks = checkpoint.count(node, "_transformer_layers/{}/_attention_layer")
            found.append((node, _EMBEDDINGS, blocks))
        elif checkpoint.has(node, [*_NUMBERED.values(), "layer_with_weights-4/_attention_layer"]):
            blocks = checkpoint.count(
                node, "layer_with_weights-{}/_attention_layer", len(_NUMBERED)
            )
            found.append((node, _NUMBERED, blocks))
    if len(found) != 1:
        raise ValueError(
            "Expected a checkpoint with one BertEncoderV2 or BertEncoder of Model Garden's in it. "
            f"Received {len(found)} in {prefix}. Write one with "
            "tf.train.Checkpoint(encoder=encoder).write(prefix)."
        )
    return found[0]


class _Checkpoint:
    """A checkpoint as the graph of objects that it was written from.

    A weight that two layers share is stored under the name that one of them has for it; in the
    graph, it can be reached from both.
    """

    def __init__(self, prefix):
        self._reader = tf.train.load_checkpoint(prefix)
        try:
            stored = self._reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
        except tf.errors.NotFoundError as error:
            raise ValueError(
                f"Expected a checkpoint of TensorFlow 2. The one at {prefix} is of TensorFlow 1; "
                "Model Garden's tf2_encoder_checkpoint_converter turns it into one."
            ) from error
        graph = TrackableObjectGraph()
        graph.ParseFromString(stored)
        self._attributes = [node.attributes for node in graph.nodes]
        self._children = [{x.local_name: x.node_id for x in node.children} for node in graph.nodes]
        self.nodes = range(len(graph.nodes))

    def find(self, node, path):
        """The object at a path such as "a/b" below `node`, or None."""
        for name in path.split("/"):
            node = None if node is None else self._children[node].get(name)
        return node

    def has(self, node, paths):
        """Whether there is an object at every path below `node`."""
        return all(self.find(node, path) is not None for path in paths)

    def count(self, node, pattern, start=0):
        """The objects above those at `pattern`, numbered from `start` on, as long as there are."""
        paths = []
        while self.find(node, pattern.format(start + len(paths))) is not None:
            paths.append(pattern.format(start + len(paths)).rpartition("/")[0])
        return paths

    def read(self, node, path):
        """The value of the variable at a path, an array."""
        found = self.find(node, path)
        if found is None or not self._attributes[found]:
            raise ValueError(f"The checkpoint has an encoder without the weight {path}.")
        return self._reader.get_tensor(self._attributes[found][0].checkpoint_key)
