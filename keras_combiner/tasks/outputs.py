"""Outputs: what every kind of output defines, and exports ask for."""

import abc

import keras
from keras import ops


class Outputs(abc.ABC):
    """What the numbers that a model returns for a document mean.

    Attributes:
        name: str, as a user names it.
        output: str, the name of the output of exports.
        activation: str, which turns what `linear` returns into outputs.
        has_evidence: bool, whether `keras_combiner.models.TokenEvidence` splits an answer over the
            tokens of its document.
    """

    name: str
    output: str
    activation: str
    has_evidence = True

    @abc.abstractmethod
    def linear(self, outputs):
        """Undoes the activation.

        Args:
            outputs: float tensor `[batch, units]`, of the model.

        Returns:
            float tensor `[batch, units]`: numbers that add up and can be averaged, as `ops` or
            numpy have them.
        """

    def pool(self, outputs, windows):
        """Turns answers for windows into one for each document: the mean of what is linear.

        Args:
            outputs: float array or tensor `[windows, units]`, of one document after the other.
            windows: int array or tensor `[documents]`, how many are of each, at least one.

        Returns:
            float tensor `[documents, units]`. The outputs of a single window are left as they are.
        """
        count = ops.shape(windows)[0]
        documents = ops.repeat(ops.arange(count), windows)
        sums = ops.segment_sum(self.linear(outputs), documents, num_segments=count)
        means = sums / ops.expand_dims(ops.cast(windows, sums.dtype), -1)
        pooled = self.activate(means)
        firsts = ops.take(outputs, ops.cumsum(windows) - windows, axis=0)
        is_single = ops.expand_dims(ops.equal(windows, 1), -1)
        return ops.where(is_single, firsts, ops.cast(pooled, firsts.dtype))

    def activate(self, means):
        """Applies the activation to means of what `linear` returns, a float tensor."""
        return keras.activations.get(self.activation)(means)

    @abc.abstractmethod
    def signature(self, outputs, names):
        """The outputs of a SavedModel: dict of name to tensor, in TensorFlow operations."""

    def evidence_for(self, outputs, names):
        """The output that token weights are evidence for, if `signature` lacks it: a dict."""
        return {}

    def same(self, expected, received):
        """Compares the answers of a model and its export.

        Args:
            expected: float array `[documents, units]`.
            received: float array `[documents, units]`.

        Returns:
            float array `[documents]`, 1 where both say the same; or None where that has no meaning.
        """
        return None

    def cosines(self, expected, received):
        """Returns how near vectors of a model and its export are; None if they are not vectors.

        Args:
            expected: float array `[documents, units]`.
            received: float array `[documents, units]`.

        Returns:
            float array `[documents]`, or None.
        """
        return None

    def get_config(self):
        """Returns what tells these outputs from others: a dict that JSON can hold."""
        return {"name": self.name}
