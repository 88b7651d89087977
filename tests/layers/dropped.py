"""What `Dropout` makes of ones, for a process of any backend."""

import numpy as np
from keras import ops

from keras_combiner.layers.dropout import Dropout


def shares(rate, shape):
    """`(share of zeros, mean)` of what is left of ones."""
    outputs = ops.convert_to_numpy(Dropout(rate, seed=0)(np.ones(shape, "float32"), training=True))
    return float(np.mean(outputs == 0)), float(np.mean(outputs))
