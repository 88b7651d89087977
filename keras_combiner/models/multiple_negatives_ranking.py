"""MultipleNegativesRanking: the text that belongs to another is told from all others."""

import keras
from keras import ops

from keras_combiner.factorizations import precision

_LEFT_OUT = -1e9  # a logit whose exponential is zero beside any other


@keras.saving.register_keras_serializable(package="keras_combiner")
class MultipleNegativesRanking(keras.losses.Loss):
    """Cross-entropy of finding each anchor's positive among all texts of a batch.

    A batch has a row of texts for each pair or triplet: anchor, positive and perhaps negatives. The
    candidates of an anchor are the positives and negatives of all rows; a candidate's logit is
    `scale` times the cosine of its vector and the anchor's.

    Not a negative, and left out, is a candidate that is the same text as the anchor or its
    positive, and the positive of the same anchor in another row.

    Args:
        scale: float, what cosines are multiplied with.
        name: str.
        dtype: "float32" or "float64", whatever Keras's default is: the numbers of texts pass
            through it.
        **kwargs: what else `keras.losses.Loss` takes.

    Call arguments:
        y_true: numbers `[rows, texts a row]`, the same for the same text, below 2^24.
        y_pred: float tensor `[rows * texts a row, features]`, the texts' vectors, row by row.

    Returns:
        tensor of the `dtype`, the mean over all rows.

    Raises:
        ValueError: for another `dtype`.

    Example:

    >>> import numpy as np
    >>> vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> loss = MultipleNegativesRanking(scale=20.0)
    >>> round(float(loss(np.array([[0, 1], [2, 3]]), vectors)), 6)
    0.0
    >>> round(float(loss(np.array([[0, 1], [2, 3]]), vectors[[0, 3, 2, 1]])), 6)
    20.0

    Reference:
        Henderson et al., "Efficient Natural Language Response Suggestion for Smart Reply", 2017,
        https://arxiv.org/abs/1705.00652, section 4.4.
    """

    def __init__(self, scale=20.0, name="multiple_negatives_ranking", dtype="float32", **kwargs):
        super().__init__(name=name, dtype=dtype, **kwargs)
        if self.dtype not in ("float32", "float64"):
            raise ValueError(
                "`dtype` must be 'float32' or 'float64': others do not hold all numbers of texts. "
                f"Received: {dtype!r}."
            )
        self.scale = scale

    def call(self, y_true, y_pred):
        """See the class docstring."""
        texts, features = y_true.shape[1], y_pred.shape[-1]
        x = ops.normalize(precision.at_least_float32(y_pred), epsilon=1e-12)
        x = ops.reshape(x, (-1, texts, features))
        anchors, positives = x[:, 0], x[:, 1]
        # [rows * (texts - 1), features]: the positives of all rows come first.
        candidates = ops.reshape(ops.transpose(x[:, 1:], (1, 0, 2)), (-1, features))
        logits = self.scale * ops.matmul(anchors, ops.transpose(candidates))
        logits = ops.where(_is_left_out(y_true), _LEFT_OUT, logits)
        own = self.scale * ops.sum(anchors * positives, axis=-1)
        return ops.logsumexp(logits, axis=-1) - own

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {**super().get_config(), "scale": self.scale, "dtype": self.dtype}


def _is_left_out(numbers):
    """Which candidates are no negatives of an anchor, except for its own positive.

    Args:
        numbers: `[rows, texts a row]`, the same for the same text.

    Returns:
        bool tensor `[rows, rows * (texts - 1)]`.

    Rows 0 and 1 have the same anchor, and rows 1 and 2 the same positive:

    >>> import numpy as np
    >>> np.array(_is_left_out(np.array([[7, 1], [7, 2], [8, 2]]))).astype(int)
    array([[0, 1, 0],
           [1, 0, 1],
           [0, 1, 0]])
    """
    numbers = ops.convert_to_tensor(numbers)
    anchors, positives = numbers[:, :1], numbers[:, 1:2]  # [rows, 1]
    # In another row with the same anchor, the positive is one of this row as well.
    is_positive = ops.equal(anchors, ops.transpose(anchors))
    rows = ops.arange(ops.shape(numbers)[0])
    is_own = ops.equal(ops.expand_dims(rows, 1), ops.expand_dims(rows, 0))
    columns = []
    for i in range(1, numbers.shape[1]):
        candidates = ops.expand_dims(numbers[:, i], 0)
        is_left_out = ops.equal(candidates, anchors) | ops.equal(candidates, positives)
        columns.append((is_left_out | is_positive) & ~is_own if i == 1 else is_left_out)
    return ops.concatenate(columns, axis=1)
