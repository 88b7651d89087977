"""The tensors of one transformer block, from the names that a checkpoint has for them."""

import typing

import numpy as np

PROJECTIONS = ("query", "key", "value", "attention_output")
FEEDFORWARD = ("feedforward_intermediate", "feedforward_gate", "feedforward_output")


class BlockSizes(typing.NamedTuple):
    """The sizes of a block.

    Attributes:
        features: int, of a token.
        intermediate: int, width of the feed-forward network.
        num_heads: int, heads of queries.
        num_key_value_heads: int, heads of keys and values.
        head_dim: int, features of a head.
    """

    features: int
    intermediate: int
    num_heads: int
    num_key_value_heads: int
    head_dim: int

    def options(self):
        """Returns what `CombinerBackbone` is told of them, where it is not the default, a dict."""
        options = {}
        if self.head_dim * self.num_heads != self.features:
            options["key_dim"] = self.head_dim
        if self.num_key_value_heads != self.num_heads:
            options["num_key_value_heads"] = self.num_key_value_heads
        return options

    def heads(self, sublayer):
        """Returns how many heads a projection has, an int."""
        return self.num_key_value_heads if sublayer in ("key", "value") else self.num_heads

    def shape(self, sublayer):
        """Returns the numbers of outputs and inputs of a dense sublayer, a pair of int."""
        if sublayer == "attention_output":
            return self.features, self.num_heads * self.head_dim
        if sublayer == "feedforward_output":
            return self.features, self.intermediate
        if sublayer in PROJECTIONS:
            return self.heads(sublayer) * self.head_dim, self.features
        return self.intermediate, self.features


def read_block(tensors, names, sizes, with_bias, has_offset):
    """Reads the weights of a block.

    Args:
        tensors: `CheckpointTensors`.
        names: dict, from names of `encoder_weights.SUBLAYERS` to what the checkpoint calls them. A
            tuple of such names stands for one layer that computes all of them.
        sizes: `BlockSizes`.
        with_bias: set of names of dense sublayers that have a bias. If any has, ours all have one,
            which is zero in the others.
        has_offset: bool, whether normalizations have an offset.

    Returns:
        dict, as in `EncoderWeights.layers`.

    Raises:
        ValueError: for a tensor that is missing or of another shape.
    """
    block = {}
    for key, name in names.items():
        sublayers = (key,) if isinstance(key, str) else key
        if key in ("attention_norm", "feedforward_norm"):
            block[key] = tensors.scale(name, sizes.features, has_offset)
            continue
        outputs = [sizes.shape(x)[0] for x in sublayers]
        arrays = tensors.dense(
            name, sum(outputs), sizes.shape(sublayers[0])[1], sublayers[0] in with_bias
        )
        if with_bias and len(arrays) == 1:
            arrays = (*arrays, np.zeros(sum(outputs), "float32"))
        ends = np.cumsum(outputs)[:-1]
        parts = zip(*(np.split(x, ends, axis=-1) for x in arrays), strict=True)
        for sublayer, part in zip(sublayers, parts, strict=True):
            block[sublayer] = _in_heads(part, sublayer, sizes)
    return block


def _in_heads(arrays, sublayer, sizes):
    if sublayer == "attention_output":
        return out_of_heads(arrays, sizes.num_heads)
    return into_heads(arrays, sizes.heads(sublayer)) if sublayer in PROJECTIONS else arrays


def into_heads(arrays, num_heads):
    """Splits the outputs of a dense layer: `[F, H D]` and `[H D]` to `[F, H, D]` and `[H, D]`.

    >>> kernel, bias = into_heads((np.ones((8, 6)), np.ones(6)), num_heads=2)
    >>> kernel.shape, bias.shape
    ((8, 2, 3), (2, 3))
    """
    return tuple(x.reshape((*x.shape[:-1], num_heads, -1)) for x in arrays)


def out_of_heads(arrays, num_heads):
    """Splits the inputs of a dense layer: `[H D, F]` and `[F]` to `[H, D, F]` and `[F]`.

    >>> kernel, bias = out_of_heads((np.ones((6, 8)), np.ones(8)), num_heads=2)
    >>> kernel.shape, bias.shape
    ((2, 3, 8), (8,))
    """
    kernel, *bias = arrays
    return (kernel.reshape((num_heads, -1, kernel.shape[1])), *bias)
