"""CombinerBackbone: token ids to one vector a token."""

import dataclasses

import keras

from keras_combiner import factorizations
from keras_combiner.backbones.arguments import check_keywords
from keras_combiner.backbones.options_by_layer import LISTS, options_by_layer
from keras_combiner.backbones.trainable_layers import model_from_config, trainable_layers
from keras_combiner.factorizations import blocks
from keras_combiner.layers import (
    CombinerEncoder,
    TokenAndPositionEmbedding,
    dtype_policies,
    normalization,
)
from keras_combiner.layers.dropout import Dropout
from keras_combiner.layers.encoder_options import EncoderOptions

SIZES = {
    "tiny": {"num_layers": 2, "num_heads": 4, "hidden_dim": 96, "intermediate_dim": 192},
    "small": {"num_layers": 4, "num_heads": 8, "hidden_dim": 256, "intermediate_dim": 1024},
    "base": {"num_layers": 12, "num_heads": 12, "hidden_dim": 768, "intermediate_dim": 3072},
}


def check_size(size):
    """Raises a ValueError unless `size` is the name of a size."""
    if size not in SIZES:
        raise ValueError(
            f"`size` must be one of {', '.join(map(repr, SIZES))}. Received: {size!r}."
        )


@keras.saving.register_keras_serializable(package="keras_combiner")
class CombinerBackbone(keras.Model):
    """Transformer encoder for long documents: embeddings, then `num_layers` CombinerEncoders.

    A functional model from token ids `[batch, length]`, for any length up to `sequence_length`,
    to vectors `[batch, length, hidden_dim]`.

    Masking: token id 0 is padding; the output carries the implicit Keras mask `token_ids != 0`.

    Args:
        vocabulary_size: int, number of token ids.
        sequence_length: int, the longest document, in tokens.
        num_layers: int, number of encoder blocks.
        num_heads: int, attention heads of each block.
        hidden_dim: int, features of a token.
        intermediate_dim: int, width of the feed-forward networks.
        dropout: float, dropout rate, of the embeddings too.
        static_length: bool, whether documents always have exactly `sequence_length` token ids,
            padding included. Plans other than "fixed" and "window" need it wherever the length of
            a batch is not known beforehand, as in `fit` on a tf.data.Dataset, or in an export.
        use_position_embeddings: bool, whether there are learned position embeddings; models with
            `rotary` attention may do without.
        normalize_embeddings: bool, whether embeddings are normalized. If None, they are unless
            `normalize_first`. Pre-norm blocks on normalized embeddings are those of ModernBERT:
            the first block has no other normalization before its attention.
        dtype: dtype or dtype policy of the layers.
        **kwargs: what else `keras_combiner.layers.CombinerEncoder` takes for its blocks, with the
            same defaults, for example `block_size`, `factorization`, `summary`, `activation`,
            `use_causal_mask` or `remat`; and `name` and `trainable`. `factorization`,
            `rotary_base` and `rotary_scaling_factor` may also be lists with one value for each
            block, from the first to the last; decoding needs plans that all decode. If
            `normalize_first`, one more normalization like those of the blocks follows the last one.

    Raises:
        TypeError: for an unknown argument.
        ValueError: if `num_layers` is less than 1, for a list of more or fewer values than
            that, and for what the layers refuse.

    Example:

    >>> import numpy as np
    >>> backbone = CombinerBackbone.from_size("tiny", vocabulary_size=100, sequence_length=512)
    >>> tuple(backbone(np.ones((1, 300), "int32")).shape)
    (1, 300, 96)
    """

    def __init__(
        self,
        vocabulary_size,
        sequence_length,
        num_layers,
        num_heads,
        hidden_dim,
        intermediate_dim,
        dropout=0.1,
        *,
        static_length=False,
        use_position_embeddings=True,
        normalize_embeddings=None,
        dtype=None,
        **kwargs,
    ):
        of_encoders = {x: kwargs.pop(x) for x in EncoderOptions.names() if x in kwargs}
        check_keywords(self, kwargs)
        blocks.check_size("num_layers", num_layers, "the number of encoder blocks")
        of_encoders |= {
            "num_heads": num_heads,
            "intermediate_dim": intermediate_dim,
            "dropout": dropout,
            "factorization": factorizations.deserialize(
                of_encoders.get("factorization", EncoderOptions.factorization)
            ),
        }
        of_layers = options_by_layer(num_layers, of_encoders)
        options = of_layers[0]  # all have the same but for what is a list
        are_normalized = _are_normalized(normalize_embeddings, options.normalize_first)
        dtype = keras.dtype_policies.get(dtype)
        length = sequence_length if static_length else None
        token_ids = keras.Input((length,), dtype="int32", name="token_ids")
        embedding = TokenAndPositionEmbedding(
            vocabulary_size,
            sequence_length,
            hidden_dim,
            use_position_embeddings=use_position_embeddings,
            dtype=dtype,
            name="embedding",
        )

        def normalized(x, name):
            epsilon = options.layer_norm_epsilon
            return normalization.make(options.normalization, epsilon, dtype=dtype, name=name)(x)

        x = embedding(token_ids)
        if are_normalized:
            x = normalized(x, "embedding_norm" if options.normalize_first else "norm")
        x = Dropout(dropout, dtype=dtype, name="embedding_dropout")(x)
        if are_normalized and options.normalize_first:
            of_layers[0] = dataclasses.replace(options, use_attention_norm=False)
        for i, of_layer in enumerate(of_layers):
            x = CombinerEncoder(**of_layer.arguments(), dtype=dtype, name=f"encoder_{i}")(x)
        if options.normalize_first:
            x = normalized(x, "norm")
        super().__init__(inputs=token_ids, outputs=x, **kwargs)
        # Not as attributes: `summary` would hide the method of keras.Model.
        self.arguments = {
            "vocabulary_size": vocabulary_size,
            "sequence_length": sequence_length,
            "num_layers": num_layers,
            "hidden_dim": hidden_dim,
            **options.arguments(),
            **{name: of_encoders[name] for name in LISTS if name in of_encoders},
            "static_length": static_length,
            "use_position_embeddings": use_position_embeddings,
            "normalize_embeddings": normalize_embeddings,
            "dtype": dtype,
        }
        self.options = options
        self.embedding = embedding
        # Keras has frozen the backbone alone: a model around it would still train its layers.
        for layer in self.layers if not self.trainable else ():
            layer.trainable = False

    @classmethod
    def from_size(cls, size, vocabulary_size, sequence_length, **kwargs):
        """Builds a backbone of a named size.

        Args:
            size: str, one of `SIZES`: "tiny" (2 layers, width 96), "small" (4 layers, width
                256) or "base" (12 layers, width 768).
            vocabulary_size: int, number of token ids.
            sequence_length: int, the longest document, in tokens.
            **kwargs: what else the constructor takes; overrides the size.

        Returns:
            `CombinerBackbone`.

        Raises:
            ValueError: for an unknown size.
        """
        check_size(size)
        return cls(vocabulary_size, sequence_length, **{**SIZES[size], **kwargs})

    def initial_cache(self, batch_size, max_length=None):
        """Makes the empty cache that `decode` starts with.

        Args:
            batch_size: int, number of sequences that are decoded together.
            max_length: int, the most tokens that will be decoded; `sequence_length` if None.

        Returns:
            A dictionary, name of an encoder block -> its cache, a dictionary of tensors.

        Raises:
            NotImplementedError: if the plan of a block does not decode one token at a time.
            ValueError: if the backbone is not causal, or `max_length` is not an int between 1 and
                `sequence_length`.
        """
        longest = self.arguments["sequence_length"]
        max_length = longest if max_length is None else max_length
        if isinstance(max_length, int) and max_length > longest:
            raise ValueError(
                f"`max_length` must be at most {longest} (sequence_length). Received: {max_length}."
            )
        return {
            encoder.name: encoder.initial_cache(batch_size, max_length)
            for encoder in self._encoders()
        }

    def decode(self, token_ids, cache, position):
        """Computes the vectors of the next token of every sequence.

        Decoding the tokens one by one returns what the causal backbone returns for all of them at
        once, at a cost per token that grows more slowly than the length.

        Args:
            token_ids: int tensor `[batch]`, the tokens at `position`; none of them is padding.
            cache: what `initial_cache` made or the last step returned.
            position: int, or int32 scalar tensor: 0 for the first token, then 1, and so on.

        Returns:
            `(outputs, cache)`: float tensor `[batch, hidden_dim]`, and the cache for the next step,
            of the same structure.

        Raises:
            NotImplementedError: if the plan of a block does not decode one token at a time.
            ValueError: if the backbone is not causal, or `position` is an int for which the cache
                has no room.

        Example:

        >>> import numpy as np
        >>> backbone = CombinerBackbone.from_size(
        ...     "tiny", vocabulary_size=100, sequence_length=64, use_causal_mask=True
        ... )
        >>> ids = np.arange(1, 21).reshape((2, 10))
        >>> cache = backbone.initial_cache(batch_size=2)
        >>> for position in range(10):
        ...     outputs, cache = backbone.decode(ids[:, position], cache, position)
        >>> bool(np.allclose(outputs, backbone(ids)[:, -1], atol=1e-5))
        True
        """
        normalize_first = self.arguments["normalize_first"]
        x = self.embedding.decode(token_ids, position)
        if _are_normalized(self.arguments["normalize_embeddings"], normalize_first):
            x = self.get_layer("embedding_norm" if normalize_first else "norm")(x)
        new_cache = {}
        for encoder in self._encoders():
            x, new_cache[encoder.name] = encoder.decode(x, cache[encoder.name], position)
        return (self.get_layer("norm")(x) if normalize_first else x), new_cache

    def _encoders(self):
        # No attribute or property: files name weights by the attribute that leads to them.
        return [self.get_layer(f"encoder_{i}") for i in range(self.arguments["num_layers"])]

    def get_config(self):
        """Returns the constructor's arguments, and which inner layers are frozen."""
        return {
            **self.arguments,
            **self.options.get_config(),
            "factorization": factorizations.serialize(self.arguments["factorization"]),
            **{name: self.arguments[name] for name in ("rotary_base", "rotary_scaling_factor")},
            "dtype": dtype_policies.serialize(self, self.arguments["dtype"]),
            "name": self.name,
            "trainable": self.trainable,
            "trainable_layers": trainable_layers(self),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Undoes `get_config`."""
        return model_from_config(cls, config)


def _are_normalized(normalize_embeddings, normalize_first):
    return not normalize_first if normalize_embeddings is None else normalize_embeddings


def check_backbone(backbone):
    """Raises a TypeError unless `backbone` is a `CombinerBackbone`."""
    if not isinstance(backbone, CombinerBackbone):
        raise TypeError(
            "`backbone` must be a CombinerBackbone, such as CombinerBackbone.from_size('tiny', "
            f"vocabulary_size=..., sequence_length=...). Received: {backbone!r}."
        )
