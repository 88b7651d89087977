"""TokenDropout: regularization for documents."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_combiner")
class TokenDropout(keras.layers.Layer):
    """Turns a random share of the token ids into padding while training.

    Every step sees another excerpt of the same documents, so that a model cannot rely on a few
    distinctive words. A padded token takes no part in attention, in summaries or in pooling, so
    that an excerpt looks to the model like any other text, unlike one full of unknown tokens.

    Masking: the layer makes padding (id 0); masks are made from its output.

    Args:
        rate: float, share of the tokens to drop, at least 0 and below 1.
        seed: int, or None.
        **kwargs: `name` and what else `keras.layers.Layer` takes.

    Call arguments:
        token_ids: int tensor `[batch, length]`.
        training: bool, whether to drop.

    Returns:
        int tensor `[batch, length]`.

    Raises:
        ValueError: if `rate` is out of range.

    Example:

    >>> import numpy as np
    >>> token_ids = np.full((1, 1000), 7)
    >>> kept = np.array(TokenDropout(0.3, seed=0)(token_ids, training=True)) == 7
    >>> bool(600 < kept.sum() < 800)
    True
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` must be at least 0 and below 1. Received: rate={rate!r}.")
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, token_ids, training=None):
        """See the class docstring."""
        token_ids = ops.convert_to_tensor(token_ids)
        if not training or not self.rate:
            return token_ids
        draw = keras.random.uniform(ops.shape(token_ids), dtype="float32", seed=self.seed_generator)
        return ops.where(draw < self.rate, ops.zeros_like(token_ids), token_ids)

    def compute_output_spec(self, token_ids, training=None):
        """Shape and dtype of the input: ids stay ids, whatever the dtype policy."""
        return keras.KerasTensor(token_ids.shape, token_ids.dtype)

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
