"""MagnitudePruning: the smallest weights become zero while a model trains."""

import keras
import numpy as np
from keras import ops

from keras_combiner.fake_quantization import tfmot
from keras_combiner.fake_quantization.weights import kernels, refuse_empty, tables

PATTERNS = (None, "2:4")
_UPDATES = 50  # how often, on the way to the target, the smallest weights are chosen again


class MagnitudePruning(keras.callbacks.Callback):
    """Sets the smallest weights to zero, more from step to step, while `fit` trains the rest.

    Kernels (of the projections, the feed-forward networks and the last layer) and embedding tables
    are pruned, each to the same share; biases and normalizations are not. The share grows along a
    cubic curve, fast at first. Pruned weights are exactly zero after every step and in the model
    that `fit` leaves. A later `fit` without this callback moves them again.

    With `pattern="2:4"`, two of every four consecutive inputs of a product are zero, for every
    output: what sparse tensor cores of GPUs compute at twice the speed. Which ones is decided once,
    at `begin`. Embedding tables, which are in no product, are left as they are; so are the last
    inputs of a kernel if their number is not a multiple of four, beyond two in the last group.

    Zeros make a file smaller only once it is compressed. `epoch` logs hold `sparsity`, the share of
    zeros among the numbers that are pruned.

    Args:
        target_sparsity: float, at least 0 and below 1, share of every weight that is zero in the
            end; ignored with a pattern.
        begin: float, share of the training after which pruning begins.
        end: float, share of the training after which the target is reached; the rest is for the
            other weights to recover.
        pattern: None, or "2:4".
        embeddings: bool, whether the embedding tables are pruned as well.

    Raises:
        ImportError: in `fit`, if tensorflow-model-optimization is missing (extra "tfmot").
        RuntimeError: in `fit`, if Keras runs on another backend than TensorFlow.
        ValueError: for arguments out of range; in `fit`, if the number of steps is not known, or
            the model has nothing to prune.

    Example:

    >>> from keras_combiner import LongDocumentClassifier
    >>> texts, labels = ["a b", "c d"] * 8, ["x", "y"] * 8
    >>> classifier = LongDocumentClassifier.from_texts(
    ...     texts, labels, sequence_length=32, tokenizer="bytes", num_layers=1
    ... )
    >>> pruning = MagnitudePruning(target_sparsity=0.75)
    >>> _ = classifier.fit(texts, labels, epochs=2, batch_size=4, verbose=0, callbacks=[pruning])
    >>> round(pruning.sparsity(), 2)
    0.75

    Source: Zhu and Gupta, "To prune, or not to prune", 2017, https://arxiv.org/abs/1710.01878;
    TFMOT's `PolynomialDecay` and `Pruning`. 2:4: Mishra et al., "Accelerating Sparse Deep Neural
    Networks", 2021, https://arxiv.org/abs/2104.08378.
    """

    def __init__(self, target_sparsity=0.8, begin=0.0, end=0.75, pattern=None, embeddings=True):
        super().__init__()
        if pattern not in PATTERNS:
            raise ValueError(
                f"`pattern` must be one of {', '.join(map(repr, PATTERNS))}. Received: {pattern!r}."
            )
        if not 0 <= target_sparsity < 1:
            raise ValueError(
                "`target_sparsity` must be at least 0 and below 1, the share of the weights that "
                f"become zero. Received: {target_sparsity!r}."
            )
        if not 0 <= begin <= end <= 1:
            raise ValueError(
                "`begin` and `end` must be shares of the training, 0 <= begin <= end <= 1. "
                f"Received: begin={begin!r}, end={end!r}."
            )
        self.target_sparsity = target_sparsity
        self.begin = begin
        self.end = end
        self.pattern = pattern
        self.embeddings = embeddings
        self._weights = {}

    def on_train_begin(self, logs=None):
        """Lays out the schedule over the steps to come."""
        steps = self.params.get("steps")
        if steps is None:
            raise ValueError(
                "Pruning is spread over the training, whose number of steps is not known. Give "
                "`fit` texts, arrays, or a data set with a cardinality, or name `steps_per_epoch`."
            )
        self._find_weights()
        total = steps * self.params["epochs"]
        first = 1 + round(self.begin * (total - 1))
        every = max(1, int((self.end - self.begin) * total) // _UPDATES)
        # The last update falls on a step of its own kind, or the target would be missed.
        last = first + round(self.end * (total - 1) - (first - 1)) // every * every
        self._step = 0
        self._pruning = self._make_pruning(first, max(last, first), every)

    def _find_weights(self):
        found = {path: weight for path, (weight, _) in kernels(self.model).items()}
        inputs = {path: count for path, (_, count) in kernels(self.model).items()}
        if self.embeddings and self.pattern is None:
            found.update(tables(self.model))
        refuse_empty(found)
        self._weights = found
        # As matrices from inputs to outputs, as TFMOT takes them.
        self._shapes = {
            path: (int(np.prod(x.shape[: inputs.get(path, 1)])), -1) for path, x in found.items()
        }

    def _make_pruning(self, first, last, every):
        import tensorflow as tf

        implementation = tfmot.import_module("sparsity.keras.pruning_impl")
        self._matrices = {
            path: tf.Variable(self._matrix(path), trainable=False) for path in self._weights
        }
        self._masks = {path: tf.Variable(tf.ones_like(x)) for path, x in self._matrices.items()}
        return implementation.Pruning(
            # TFMOT chooses a pattern when its count of steps is 1.
            lambda: tf.constant(self._step - (first - 1 if self.pattern else 0), tf.int64),
            [(x, self._masks[path], tf.Variable(0.0)) for path, x in self._matrices.items()],
            self._schedule(first, last, every),
            block_size=(1, 1),
            block_pooling_type="AVG",
            sparsity_m_by_n=(2, 4) if self.pattern else None,
        )

    def _schedule(self, first, last, every):
        schedules = tfmot.import_module("sparsity.keras.pruning_schedule")
        target = self.target_sparsity
        if first == last:  # a curve of one point, which TFMOT would divide by its length
            return schedules.ConstantSparsity(target, first, frequency=every)
        return schedules.PolynomialDecay(0.0, target, first, last, power=3, frequency=every)

    def _matrix(self, path):
        return ops.reshape(ops.cast(self._weights[path].value, "float32"), self._shapes[path])

    def on_train_batch_end(self, batch, logs=None):
        """Chooses the smallest weights again, if it is time to, and sets those chosen to zero."""
        self._step += 1
        for path, matrix in self._matrices.items():
            matrix.assign(self._matrix(path))
        self._pruning.conditional_mask_update()
        self._pruning.weight_mask_op()
        for path, matrix in self._matrices.items():
            weight = self._weights[path]
            weight.assign(ops.reshape(ops.cast(matrix, weight.dtype), weight.shape))

    def on_epoch_end(self, epoch, logs=None):
        """Puts `sparsity` into the logs."""
        if logs is not None:
            logs["sparsity"] = self.sparsity()

    def on_train_end(self, logs=None):
        """Frees what only training needs."""
        del self._pruning, self._matrices, self._masks

    def sparsity(self):
        """Returns the share (float) of zeros among the numbers of all pruned weights."""
        sizes = {path: int(np.prod(x.shape)) for path, x in self._weights.items()}
        return sum(x * sizes[path] for path, x in self.report().items()) / sum(sizes.values())

    def report(self):
        """Returns a dictionary, path of a pruned weight (str) -> its share of zeros (float)."""
        return {
            path: float(np.mean(ops.convert_to_numpy(weight) == 0))
            for path, weight in self._weights.items()
        }
