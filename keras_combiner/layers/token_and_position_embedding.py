"""TokenAndPositionEmbedding: token ids to vectors that depend on their position."""

import keras
from keras import ops

from keras_combiner.layers import dtype_policies


@keras.saving.register_keras_serializable(package="keras_combiner")
class TokenAndPositionEmbedding(keras.layers.Layer):
    """Sum of a learned token embedding and a learned position embedding.

    `use_position_embeddings=False` leaves the second out, for models that know positions otherwise
    (rotary attention).

    Masking: id 0 is padding; the output carries the implicit Keras mask `token_ids != 0`.

    Args:
        vocabulary_size: int, number of token ids.
        sequence_length: int, the longest sequence.
        embedding_dim: int, number of features.
        embeddings_initializer: initializer of both tables.
        use_position_embeddings: bool, whether there are position embeddings.
        **kwargs: `name`, `dtype` and what else `keras.layers.Layer` takes.

    Call arguments:
        token_ids: int tensor `[batch, length]`, `length <= sequence_length`.

    Returns:
        float tensor `[batch, length, embedding_dim]`.

    Raises:
        ValueError: if a size is not an int of at least 1, or the sequence is longer than
            `sequence_length`. For an id below 0 or too large, the result depends on the backend: an
            error under TensorFlow on a CPU and under PyTorch, NaN under JAX.

    Example:

    >>> import numpy as np
    >>> layer = TokenAndPositionEmbedding(100, sequence_length=50, embedding_dim=8)
    >>> tuple(layer(np.ones((2, 20), "int32")).shape)
    (2, 20, 8)
    """

    def __init__(
        self,
        vocabulary_size,
        sequence_length,
        embedding_dim,
        embeddings_initializer="uniform",
        use_position_embeddings=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        sizes = {
            "vocabulary_size": vocabulary_size,
            "sequence_length": sequence_length,
            "embedding_dim": embedding_dim,
        }
        for name, size in sizes.items():
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"`{name}` must be an int of at least 1. Received: {size!r}.")
        self.supports_masking = True
        self.vocabulary_size = vocabulary_size
        self.sequence_length = sequence_length
        self.embedding_dim = embedding_dim
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.use_position_embeddings = use_position_embeddings

    def build(self, input_shape):
        """Creates the tables."""
        policy = dtype_policies.of_sublayer(self, "token_embedding")
        # Language models turn it around: vectors to logits, in float32 at least.
        self.token_embedding = _TokenEmbedding(
            self.vocabulary_size,
            self.embedding_dim,
            reverse_dtype="float64" if policy.compute_dtype == "float64" else "float32",
            embeddings_initializer=self.embeddings_initializer.clone(),
            dtype=policy,
            quantization_config=_quantization_config(policy),
            name="token_embedding",
        )
        self.token_embedding.supports_masking = True  # vectors come with a mask
        self.token_embedding.build(input_shape)
        self.position_embeddings = None
        if self.use_position_embeddings:
            self.position_embeddings = self.add_weight(
                shape=(self.sequence_length, self.embedding_dim),
                initializer=_with_another_seed(self.embeddings_initializer),
                name="position_embeddings",
            )

    def call(self, token_ids):
        """See the class docstring."""
        self._check_length(token_ids.shape)
        # A quantized table may return float32, whatever its policy says.
        tokens = self.token_embedding(self._with_negative_ids_out_of_range(token_ids))
        tokens = ops.cast(tokens, self.compute_dtype)
        if self.position_embeddings is None:
            return tokens
        length = ops.shape(token_ids)[1]
        positions = ops.cast(self.position_embeddings, self.compute_dtype)
        return tokens + ops.expand_dims(positions[:length], 0)

    def decode(self, token_ids, position):
        """Embeds the next token of every sequence.

        Args:
            token_ids: int tensor `[batch]`, the tokens at `position`.
            position: int, or int32 scalar tensor, below `sequence_length`; this is not checked.

        Returns:
            float tensor `[batch, embedding_dim]`.
        """
        tokens = self.token_embedding(self._with_negative_ids_out_of_range(token_ids))
        if self.position_embeddings is None:
            return tokens
        here = ops.take(self.position_embeddings, ops.cast(position, "int32"), axis=0)
        return tokens + ops.expand_dims(ops.cast(here, tokens.dtype), 0)

    def _with_negative_ids_out_of_range(self, token_ids):
        """Keras would count negative ids from the end of the table: a wrong row, and no error."""
        token_ids = ops.cast(token_ids, "int32")
        return ops.where(token_ids < 0, self.vocabulary_size, token_ids)

    def _check_length(self, shape):
        if shape[1] is not None and shape[1] > self.sequence_length:
            raise ValueError(
                f"Expected at most {self.sequence_length} token ids (sequence_length). Received: "
                f"shape {tuple(shape)}. Cut the documents, or build the model with a larger "
                "sequence_length."
            )

    def compute_mask(self, token_ids, previous_mask=None):
        """True at ids other than 0."""
        return ops.not_equal(token_ids, 0)

    def compute_output_shape(self, input_shape):
        """`[batch, length, embedding_dim]`."""
        self._check_length(input_shape)
        return (*input_shape, self.embedding_dim)

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {
            **super().get_config(),
            "dtype": dtype_policies.serialize(self, self.dtype_policy),
            "vocabulary_size": self.vocabulary_size,
            "sequence_length": self.sequence_length,
            "embedding_dim": self.embedding_dim,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "use_position_embeddings": self.use_position_embeddings,
        }


class _TokenEmbedding(keras.layers.ReversibleEmbedding):
    """A table whose gradient has one row for every token id, however often the id occurs.

    TensorFlow's gradient of a lookup has a row for every occurrence, and Keras's Adam squares the
    rows before it sums them (`clipnorm` measures them so, too): frequent tokens would take larger
    steps than under JAX and PyTorch. The gradient of a product is dense on every backend.
    """

    def call(self, inputs, reverse=False):
        if reverse:
            return super().call(inputs, reverse=True)
        return ops.cast(ops.take(1.0 * self.embeddings, inputs, axis=0), self.compute_dtype)

    def quantize(self, mode=None, type_check=True, config=None):
        """As Keras's layer, which refuses its subclasses: the quantized lookup is its own."""
        super().quantize(mode, type_check=False, config=config)


def _quantization_config(policy):
    """What `quantize("int4")` gave a table that is loaded: vectors turned to logits stay float."""
    is_int4 = getattr(policy, "quantization_mode", None) == "int4"
    if not (is_int4 and hasattr(policy, "block_size")):  # Keras 3.13 has no blocks
        return None
    return keras.quantizers.Int4QuantizationConfig(
        activation_quantizer=None, block_size=policy.block_size
    )


def _with_another_seed(initializer):
    """A seeded initializer would draw the same numbers for both tables."""
    config = initializer.get_config()
    if isinstance(config.get("seed"), int):
        config["seed"] += 1
    return type(initializer).from_config(config)
