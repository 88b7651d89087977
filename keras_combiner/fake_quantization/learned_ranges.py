"""LearnedRanges: how large activations get, learned while a model trains with fake quantization."""

import keras
from keras import ops

from keras_combiner.fake_quantization import tfmot

_DECAY = (
    0.9  # of the moving average: with TFMOT's 0.999, ranges follow only after thousands of steps
)


class LearnedRanges(keras.layers.Layer):
    """Quantizes activations to 8 bits and back, in ranges that follow what training sees.

    Outputs have one of 256 values between the smallest and the largest of the range, and gradients
    pass unchanged, except for what lies outside the range. A range starts as that of the first
    batch. One that has not seen a batch quantizes nothing.

    Args:
        names: list of str, the activations.
        **kwargs: what else `keras.layers.Layer` takes.

    Call arguments:
        x: float tensor of any shape.
        name: str, one of `names`.
        training: bool, whether the range follows, unless the layer is frozen.

    Returns:
        float32 tensor of the same shape.

    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", CVPR 2018, https://arxiv.org/abs/1712.05877; TFMOT's
    `MovingAvgQuantize`.
    """

    def __init__(self, names, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.supports_masking = True
        self.names = list(names)
        self._quant_ops = tfmot.import_module("quantization.keras.quant_ops")
        self.ranges = {
            name: tuple(
                self.add_weight(shape=(), initializer="zeros", trainable=False, name=f"{bound}_{i}")
                for bound in ("smallest", "largest")
            )
            for i, name in enumerate(self.names)
        }
        self.built = True

    def call(self, x, name, training=None):
        """See the class docstring."""
        training = bool(training and self.trainable)
        smallest, largest = (bound.value for bound in self.ranges[name])
        is_new = ops.equal(smallest, largest)
        quantized = self._quant_ops.MovingAvgQuantize(
            x,
            smallest,
            largest,
            ema_decay=ops.where(is_new, 0.0, _DECAY),
            is_training=training,
        )
        return quantized if training else ops.where(is_new, x, quantized)

    def are_learned(self):
        """Returns whether training has seen a batch, bool."""
        return any(float(x) < float(y) for x, y in self.ranges.values())
