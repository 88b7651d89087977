"""EncoderWeights: what every pretrained encoder is made of, whoever wrote it."""

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_combiner.backbones import CombinerBackbone
from keras_combiner.convert.positions import check_method, extend_positions
from keras_combiner.factorizations import Factorization

SUBLAYERS = (
    *("query", "key", "value", "attention_output", "attention_norm"),
    *("feedforward_intermediate", "feedforward_gate", "feedforward_output", "feedforward_norm"),
)


@dataclasses.dataclass
class EncoderWeights:
    """The weights of an encoder, in the shapes that our layers have.

    Legend: V token ids, P positions, F features, H heads, K key and value heads, D head dim,
    I intermediate features.

    Attributes:
        token_embeddings: float array `[V, F]`.
        position_embeddings: float array `[P, F]`, or None if there are none; the embedding of the
            first token type, which every token of a single text has, is added to it (or, without
            positions, to the token embeddings).
        embedding_norm: tuple of float arrays `[F]`, scale and, if normalizations have one, offset;
            or None if the embeddings are not normalized.
        layers: list of dicts, one a block, from names of `SUBLAYERS` to weights, tuples of arrays:
            kernel and, with `use_bias`, bias; or as in `embedding_norm`. Kernels are `[F, H, D]`
            for query, `[F, K, D]` for key and value, `[H, D, F]` for the attention's output,
            `[F, I]` for the feed-forward network and its gate, `[I, F]` for its output. Without an
            "attention_norm" attention has none.
        final_norm: as `embedding_norm`, of a pre-norm encoder; None if it is post-norm.
        activation: str or callable, of the feed-forward network.
        layer_norm_epsilon: float.
        dropout: float, dropout rate.
        pad_token_id: int, the source's padding. Ours is 0: the two ids are swapped. None if the
            source has none of its own: 0 is then a new id, and what was 0 there becomes V.
        local_plans: list of `Factorization` or None, for every block its plan if it attends to
            near tokens only, and None if it attends to the whole text. Empty if all do that.
        options: dict, what else `CombinerBackbone` takes for such an encoder.
    """

    token_embeddings: np.ndarray
    position_embeddings: np.ndarray | None
    embedding_norm: tuple[np.ndarray, ...] | None
    layers: list[dict[str, tuple[np.ndarray, ...]]]
    final_norm: tuple[np.ndarray, ...] | None = None
    activation: str | Callable = "gelu"
    layer_norm_epsilon: float = 1e-12
    dropout: float = 0.1
    pad_token_id: int | None = 0
    local_plans: list[Factorization | None] = dataclasses.field(default_factory=list)
    options: dict = dataclasses.field(default_factory=dict)

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
        check_method(positions)
        table = self.position_embeddings
        if table is not None:
            table = extend_positions(table, sequence_length, positions)
        token_embeddings = with_padding_first(self.token_embeddings, self.pad_token_id)
        vocabulary_size, hidden_dim = token_embeddings.shape
        is_pre_norm = self.final_norm is not None
        backbone = CombinerBackbone(
            vocabulary_size,
            sequence_length,
            num_layers=len(self.layers),
            num_heads=self.num_heads,
            hidden_dim=hidden_dim,
            intermediate_dim=self.layers[0]["feedforward_intermediate"][0].shape[1],
            normalize_first=is_pre_norm,
            normalize_embeddings=self.embedding_norm is not None,
            use_position_embeddings=table is not None,
            layer_norm_epsilon=self.layer_norm_epsilon,
            **{
                "activation": self.activation,
                "dropout": self.dropout,
                **self.options,
                **options,
            },
        )
        backbone.embedding.token_embedding.embeddings.assign(token_embeddings)
        if table is not None:
            backbone.embedding.position_embeddings.assign(table)
        if self.embedding_norm is not None:
            name = "embedding_norm" if is_pre_norm else "norm"
            _assign(backbone.get_layer(name), self.embedding_norm)
        for i, layer in enumerate(self.layers):
            assign_block(backbone.get_layer(f"encoder_{i}"), layer)
        if is_pre_norm:
            _assign(backbone.get_layer("norm"), self.final_norm)
        return backbone


def assign_block(encoder, weights):
    """Assigns a block's weights, a dict as in `EncoderWeights`, to a built `CombinerEncoder`."""
    attention = encoder.attention
    of_attention = {
        "query": attention.query_dense,
        "key": attention.key_dense,
        "value": attention.value_dense,
        "attention_output": attention.output_dense,
    }
    for name in SUBLAYERS:
        layer = of_attention.get(name, getattr(encoder, name, None))
        # A block without a gate, or whose attention has no normalization, has no such layer.
        if layer is not None or name in weights:
            _assign(layer, weights[name])


def _assign(layer, arrays):
    for weight, array in zip(layer.weights, arrays, strict=True):
        weight.assign(array)


def with_padding_first(table, pad_token_id):
    """The token embeddings of a source as ours, see `EncoderWeights.pad_token_id`.

    >>> with_padding_first(np.array([[1.0], [2.0], [3.0]]), 1)[:, 0].tolist()
    [2.0, 1.0, 3.0]
    >>> with_padding_first(np.array([[1.0], [2.0], [3.0]]), None)[:, 0].tolist()
    [0.0, 2.0, 3.0, 1.0]
    """
    if pad_token_id is None:
        return np.concatenate([np.zeros_like(table[:1]), table[1:], table[:1]])
    return swap_with_first(table, pad_token_id)


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
