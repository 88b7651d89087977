"""BagOfTokens: logits of a document from which tokens it has, and nothing else."""

import keras
from keras import ops

from keras_combiner.factorizations import precision


@keras.saving.register_keras_serializable(package="keras_combiner")
class BagOfTokens(keras.layers.Layer):
    """A linear model of a document's token ids, in any order.

    Every token id has a learned row of a table, which is zero at the start. The output is the sum
    of the rows of a document's tokens, divided by the root of their number. It is computed in
    float32 at least.

    Masking: id 0 is padding and never counts. A document without tokens gets zeros.

    Args:
        vocabulary_size: int, number of token ids.
        units: int, number of outputs.
        embeddings_initializer: initializer of the table.
        embeddings_regularizer: regularizer of the table, for example "l2", or None.
        **kwargs: `name`, `dtype` and what else `keras.layers.Layer` takes.

    Call arguments:
        token_ids: int tensor `[batch, length]`, ids from 0 to below `vocabulary_size`.

    Returns:
        float tensor `[batch, units]`.

    Raises:
        ValueError: if `vocabulary_size` or `units` is not an int of at least 1.

    Example:

    >>> import numpy as np
    >>> layer = BagOfTokens(vocabulary_size=3, units=1)
    >>> layer.build((None, None))
    >>> _ = layer.embeddings.assign([[9.0], [1.0], [3.0]])
    >>> np.array(layer(np.array([[1, 2, 1, 2, 0]]))).tolist()  # (1 + 3 + 1 + 3) / 2
    [[4.0]]

    Reference:
        Cheng et al., "Wide & Deep Learning for Recommender Systems", 2016,
        https://arxiv.org/abs/1606.07792.
    """

    def __init__(
        self,
        vocabulary_size,
        units,
        embeddings_initializer="zeros",
        embeddings_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, size in {"vocabulary_size": vocabulary_size, "units": units}.items():
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"`{name}` must be an int of at least 1. Received: {size!r}.")
        self.vocabulary_size = vocabulary_size
        self.units = units
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.embeddings_regularizer = keras.regularizers.get(embeddings_regularizer)

    def build(self, input_shape):
        """Creates the table."""
        self.embeddings = self.add_weight(
            shape=(self.vocabulary_size, self.units),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            name="embeddings",
        )

    def call(self, token_ids):
        """See the class docstring."""
        rows, shares = self._rows_and_shares(token_ids)
        total = ops.squeeze(ops.matmul(ops.expand_dims(shares, 1), rows), 1)
        return ops.cast(total, self.compute_dtype)

    def by_token(self, token_ids):
        """Returns what each token adds to the output.

        Args:
            token_ids: as in a call.

        Returns:
            float32 tensor (float64 for such a table) `[batch, length, units]`, zeros for padding.
        """
        rows, shares = self._rows_and_shares(token_ids)
        return rows * ops.expand_dims(shares, -1)

    def _rows_and_shares(self, token_ids):
        """Rows `[batch, length, units]`, and what each counts, `[batch, length]`."""
        token_ids = ops.cast(token_ids, "int32")
        # The gradient of a product has one row for an id, however often it occurs: optimizers
        # square what TensorFlow returns for a lookup before they sum it.
        rows = precision.at_least_float32(ops.take(1.0 * self.embeddings, token_ids, axis=0))
        is_token = ops.cast(ops.not_equal(token_ids, 0), rows.dtype)
        count = ops.maximum(ops.sum(is_token, axis=-1, keepdims=True), 1.0)
        return rows, is_token / ops.sqrt(count)

    def compute_output_shape(self, input_shape):
        """`[batch, units]`."""
        return (input_shape[0], self.units)

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "units": self.units,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": keras.regularizers.serialize(self.embeddings_regularizer),
        }
