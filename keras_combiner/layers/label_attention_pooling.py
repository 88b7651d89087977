"""LabelAttentionPooling: one vector for every label of a document."""

import keras
from keras import ops

from keras_combiner.factorizations import precision
from keras_combiner.factorizations.softmax import masked_softmax


@keras.saving.register_keras_serializable(package="keras_combiner")
class LabelAttentionPooling(keras.layers.Layer):
    """For every label, a weighted average over the positions that count.

    A label has a learned query. The weights of its average are the softmax, over the positions, of
    the products of their vectors with the query: a label reads where its evidence lies, in place of
    the document's average. Queries of zeros, the default at the start, weigh all positions alike,
    as `MaskedAveragePooling` does.

    Logits, softmax and sums are computed in float32 at least.

    Masking: positions where the implicit Keras mask of the input, or `mask`, is false are left
    out; a sequence without any position that counts gets zeros. The output has no mask.

    Args:
        num_labels: int, number of queries.
        queries_initializer: initializer of the queries.
        queries_regularizer: regularizer of the queries, or None.
        **kwargs: `name`, `dtype` and what else `keras.layers.Layer` takes.

    Call arguments:
        inputs: float tensor `[batch, length, features]`.
        mask: bool tensor `[batch, length]`, or None.

    Returns:
        float tensor `[batch, num_labels, features]`.

    Raises:
        ValueError: if `num_labels` is not an int of at least 1.

    Example:

    >>> import numpy as np
    >>> tokens = np.array([[[0.0], [100.0], [900.0]]])
    >>> mask = np.array([[True, True, False]])
    >>> pooling = LabelAttentionPooling(2)
    >>> np.array(pooling(tokens, mask=mask)).tolist()
    [[[50.0], [50.0]]]
    >>> _ = pooling.queries.assign([[0.0, 1.0]])
    >>> np.array(pooling(tokens, mask=mask)).tolist()
    [[[50.0], [100.0]]]

    Reference:
        Mullenbach et al., "Explainable Prediction of Medical Codes from Clinical Text", NAACL 2018,
        https://arxiv.org/abs/1802.05695.
        Vu et al., "A Label Attention Model for ICD Coding from Clinical Text", IJCAI 2020,
        https://arxiv.org/abs/2007.06351.
    """

    def __init__(self, num_labels, queries_initializer="zeros", queries_regularizer=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(num_labels, int) or num_labels < 1:
            raise ValueError(
                f"`num_labels` must be an int of at least 1. Received: {num_labels!r}."
            )
        self.supports_masking = True
        self.num_labels = num_labels
        self.queries_initializer = keras.initializers.get(queries_initializer)
        self.queries_regularizer = keras.regularizers.get(queries_regularizer)

    def build(self, input_shape):
        """Creates the queries."""
        self.queries = self.add_weight(
            shape=(input_shape[-1], self.num_labels),
            initializer=self.queries_initializer,
            regularizer=self.queries_regularizer,
            name="queries",
        )

    def call(self, inputs, mask=None):
        """See the class docstring."""
        weights = self.attention_weights(inputs, mask)
        pooled = ops.matmul(weights, precision.at_least_float32(inputs))
        return ops.cast(pooled, self.compute_dtype)

    def attention_weights(self, inputs, mask=None):
        """Returns how much each position counts for each label.

        Args:
            inputs: as in a call.
            mask: as in a call.

        Returns:
            float32 tensor (float64 for such inputs) `[batch, num_labels, length]`, not negative:
            rows sum to one, or are zero in a sequence without any position that counts.
        """
        x = precision.at_least_float32(inputs)
        logits = ops.matmul(x, ops.cast(self.queries, x.dtype))  # [batch, length, num_labels]
        if self.num_labels == 1:
            # As the transposition would do, which the converter to ONNX mistakes for another shape.
            logits = ops.expand_dims(ops.squeeze(logits, -1), 1)
        else:
            logits = ops.transpose(logits, (0, 2, 1))
        return masked_softmax(logits, None if mask is None else ops.expand_dims(mask, 1))

    def compute_mask(self, inputs, previous_mask=None):
        """None: positions are gone."""
        return None

    def compute_output_shape(self, input_shape):
        """`[batch, num_labels, features]`."""
        return (input_shape[0], self.num_labels, input_shape[2])

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "queries_initializer": keras.initializers.serialize(self.queries_initializer),
            "queries_regularizer": keras.regularizers.serialize(self.queries_regularizer),
        }
