"""Embedding: a document has a vector, near those of documents that say something similar."""

import numpy as np
from keras import ops

from keras_combiner.tasks.outputs import Outputs


class Embedding(Outputs):
    """The vector of a document.

    Args:
        normalize: bool, whether vectors have length 1. The mean of those of several windows is then
            brought to that length.

    Example:

    >>> pooled = Embedding(normalize=True).pool(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([2]))
    >>> np.round(pooled, 3).tolist()
    [[0.707, 0.707]]
    """

    name = "embedding"
    output = "embedding"
    activation = "linear"
    has_evidence = False

    def __init__(self, normalize=False):
        self.normalize = normalize

    def linear(self, outputs):
        """As it is."""
        return outputs

    def activate(self, means):
        """Brings a mean of vectors of length 1 to length 1."""
        return ops.normalize(means, epsilon=1e-12) if self.normalize else means

    def signature(self, outputs, names):
        """`embedding`, the vector of each document."""
        return {"embedding": outputs}

    def cosines(self, expected, received):
        """Those of the angles between the two vectors of a document."""
        expected, received = np.float64(expected), np.float64(received)
        norms = np.linalg.norm(expected, axis=-1) * np.linalg.norm(received, axis=-1)
        return np.sum(expected * received, axis=-1) / np.maximum(norms, 1e-24)

    def get_config(self):
        """The name, and whether vectors have length 1."""
        return {"name": self.name, "normalize": self.normalize}
