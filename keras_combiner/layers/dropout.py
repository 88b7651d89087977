"""Dropout that draws one random number for four elements."""

import keras
from keras import ops

from keras_combiner.layers.rematerialization import seed_generator_of

BITS = 8  # of a random number of 32 bits, those that decide on one element
LEVELS = 2**BITS
PER_DRAW = 32 // BITS


@keras.saving.register_keras_serializable(package="keras_combiner")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` at less than half its cost.

    There are many attention weights, and drawing a random number for each takes longer than
    computing it. Here 8 bits decide about an element instead of 32. The rate is therefore rounded
    to a multiple of 1/256 (0.1 to 26/256, but never to 0 or 1), and what is kept is scaled by just
    that rate: the expectation is the input.

    Masking: passes masks on and does not look at them.

    Args:
        rate: float, share of the elements to drop, at least 0 and at most 1.
        noise_shape: see `keras.layers.Dropout`, which computes the call if it is given.
        seed: int, or None.
        **kwargs: `name`, `dtype` and what else `keras.layers.Layer` takes.

    Call arguments:
        inputs: float tensor `[..., features]`.
        training: bool, whether to drop.

    Returns:
        float tensor of the input's shape and dtype.

    Raises:
        ValueError: if `rate` is out of range.

    Example:

    >>> import numpy as np
    >>> outputs = np.array(Dropout(0.5, seed=0)(np.ones((1, 1000)), training=True))
    >>> sorted(set(outputs.ravel().tolist()))
    [0.0, 2.0]

    Reference:
        Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
        2014.
    """

    def call(self, inputs, training=False):
        """See the class docstring."""
        if not training or self.noise_shape is not None or self.rate in (0, 1):
            return super().call(inputs, training=training)
        *outer, features = ops.shape(inputs)
        num_draws = -(-features // PER_DRAW)
        seed = seed_generator_of(self)
        draws = keras.random.randint(
            (*outer, num_draws, 1), -(2**31), 2**31 - 1, dtype="int32", seed=seed
        )
        levels = ops.reshape(ops.view(draws, f"uint{BITS}"), (*outer, num_draws * PER_DRAW))
        levels = levels[..., :features]
        dropped = min(max(round(self.rate * LEVELS), 1), LEVELS - 1)
        kept = ops.cast(levels >= ops.cast(dropped, levels.dtype), inputs.dtype)
        return inputs * (kept * (LEVELS / (LEVELS - dropped)))
