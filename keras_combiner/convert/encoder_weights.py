"""EncoderWeights: what every BERT-like encoder is made of, whoever wrote it."""

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_combiner.backbones import CombinerBackbone
from keras_combiner.convert.positions import extend_positions

SUBLAYERS = (
    *("query", "key", "value", "attention_output", "attention_norm"),
    *("feedforward_intermediate", "feedforward_output", "feedforward_norm"),
)


@dataclasses.dataclass
class EncoderWeights:
    """The weights of a post-norm encoder, in the shapes that our layers have.

    Legend: V token ids, P positions, F features, H heads, D = F / H, I intermediate features.

    Attributes:
        token_embeddings: float array `[V, F]`.
        position_embeddings: float array `[P, F]`; the embedding of the first token type, which
            every token of a single text has, is added to it.
        embedding_norm: pair of float arrays `[F]`, scale and offset.
        layers: list of dicts, one a block, from each name of `SUBLAYERS` to its weights: kernel
            and bias, or scale and offset. Kernels are `[F, H, D]` for query, key and value,
            `[H, D, F]` for the attention's output, `[F, I]` and `[I, F]` for the feed-forward
            network.
        activation: str or callable, of the feed-forward network.
        layer_norm_epsilon: float.
        dropout: float, dropout rate.
        pad_token_id: int, the source's padding. Ours is 0: the two ids are swapped.
    """

    token_embeddings: np.ndarray
    position_embeddings: np.ndarray
    embedding_norm: tuple[np.ndarray, np.ndarray]
    layers: list[dict[str, tuple[np.ndarray, np.ndarray]]]
    activation: str | Callable = "gelu"
    layer_norm_epsilon: float = 1e-12
    dropout: float = 0.1
    pad_token_id: int = 0

    @property
    def num_heads(self):
        """int, heads of every block."""
        return self.layers[0]["query"][0].shape[1]

    def to_backbone(self, sequence_length, positions, **options):
        """Builds a backbone with these weights.

        Args:
            sequence_length: int, the longest document, in tokens.
            positions: str, see `extend_positions`.
            **options: what else `CombinerBackbone` takes.

        Returns:
            `CombinerBackbone`.

        Raises:
            ValueError: for what the backbone or `extend_positions` refuses.
        """
        position_embeddings = extend_positions(self.position_embeddings, sequence_length, positions)
        vocabulary_size, hidden_dim = self.token_embeddings.shape
        backbone = CombinerBackbone(
            vocabulary_size,
            sequence_length,
            num_layers=len(self.layers),
            num_heads=self.num_heads,
            hidden_dim=hidden_dim,
            intermediate_dim=self.layers[0]["feedforward_intermediate"][0].shape[1],
            normalize_first=False,
            layer_norm_epsilon=self.layer_norm_epsilon,
            **{"activation": self.activation, "dropout": self.dropout, **options},
        )
        token_embeddings = swap_with_first(self.token_embeddings, self.pad_token_id)
        backbone.embedding.token_embedding.embeddings.assign(token_embeddings)
        backbone.embedding.position_embeddings.assign(position_embeddings)
        _assign(backbone.get_layer("norm"), self.embedding_norm)
        for i, layer in enumerate(self.layers):
            assign_block(backbone.get_layer(f"encoder_{i}"), layer)
        return backbone


def assign_block(encoder, weights):
    """Assigns a block's weights, a dict as in `EncoderWeights`, to a built `CombinerEncoder`."""
    attention = encoder.attention
    sublayers = {
        "query": attention.query_dense,
        "key": attention.key_dense,
        "value": attention.value_dense,
        "attention_output": attention.output_dense,
        **{name: getattr(encoder, name) for name in SUBLAYERS if hasattr(encoder, name)},
    }
    for name in SUBLAYERS:
        _assign(sublayers[name], weights[name])


def _assign(layer, arrays):
    for weight, array in zip(layer.weights, arrays, strict=True):
        weight.assign(array)


def swap_with_first(rows, i):
    """A copy of a list or array in which rows 0 and `i` have changed places.

    >>> swap_with_first(["<s>", "<pad>", "</s>"], 1)
    ['<pad>', '<s>', '</s>']
    """
    rows = rows.copy()
    if i:
        first = rows[0] if isinstance(rows, list) else rows[0].copy()
        rows[0] = rows[i]
        rows[i] = first
    return rows
