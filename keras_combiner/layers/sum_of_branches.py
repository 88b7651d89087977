"""SumOfBranches: two branches of a model added, of which one answers alone now and then."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_combiner")
class SumOfBranches(keras.layers.Layer):
    """Adds the outputs of two branches; training leaves the first out of some examples.

    The second branch has to answer alone for these examples. It goes on learning from them when the
    first one knows the training data by heart and leaves nothing to correct. What is kept is not
    scaled, unlike in `keras.layers.Dropout`: the sum means the same in training as later.

    Masking: does not look at masks.

    Args:
        rate: float, share of the examples that the second branch answers alone in training, at
            least 0 and at most 1.
        seed: int, or None.
        **kwargs: `name`, `dtype` and what else `keras.layers.Layer` takes.

    Call arguments:
        inputs: list of two float tensors `[batch, ...]` of one shape.
        training: bool, whether to leave out.

    Returns:
        float tensor `[batch, ...]`.

    Raises:
        ValueError: if `rate` is out of range.

    Example:

    >>> import numpy as np
    >>> ones, twos = np.ones((1000, 3)), np.full((1000, 3), 2.0)
    >>> outputs = np.array(SumOfBranches(0.5, seed=0)([ones, twos], training=True))
    >>> sorted(set(map(tuple, outputs.tolist())))
    [(2.0, 2.0, 2.0), (3.0, 3.0, 3.0)]
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate <= 1:
            raise ValueError(f"`rate` must be at least 0 and at most 1. Received: rate={rate!r}.")
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=None):
        """See the class docstring."""
        first, second = inputs
        if training and self.rate:
            shape = (ops.shape(first)[0], *[1] * (len(first.shape) - 1))
            draw = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
            first = ops.where(draw < self.rate, ops.zeros_like(first), first)
        return first + second  # `ops.add` and its layer take an empty second batch for a bias

    def compute_output_shape(self, input_shape):
        """The shape of both inputs."""
        return input_shape[0]

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
