"""TokenEvidence: which tokens of a document speak for its class."""

import keras
from keras import ops

from keras_combiner.text import Tokenizer


class TokenEvidence:
    """Splits a classifier's answer about a document over the document's tokens.

    `LongDocumentClassifier` averages the vectors `x[t]` of a document's `n` tokens, and its last
    layer (kernel `W`, bias `b`) is linear before the softmax. So the logit of a class, measured
    from the average of all classes' logits, is a sum over the tokens:

        log p[c] - mean(log p) = sum over t of weight[t] + b[c] - mean(b)
        weight[t] = sum over features f of x[t, f] * (W[f, c] - mean over classes of W[f]) / n

    The weight of a token is its term for the winning class `c`: positive where it speaks for that
    class, negative where it speaks for others, in the unit of log probabilities. (Logits alone
    would not do: a number added to all of them changes no probability.) The sum is exact but for
    rounding; with a quantized last layer, or in mixed precision, that is the rounding of these.

    Where a document may have several labels, weights add up, with the bias, to the log odds of the
    most probable one; in a regression, to the value. Nothing is subtracted then.

    A document of several windows has the mean of their logits, and a token the sum of its terms in
    all windows that read it, for the class of the document, divided by the number of windows. The
    equation above then holds for the whole document. The frame of every window is the document's
    start and end token, whose weights are sums over all windows. SavedModels compute this in
    `serving_scores`.

    A token's vector has already read the rest of the document through attention: a weight says
    where in the averaged document the evidence lies, not that the token alone brought it about.

    Masking: token id 0 is padding, whose weight is zero. The amount of padding does not change
    weights. In a document without tokens all weights are zero.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`.

    Call arguments:
        token_ids: int tensor `[batch, length]`.
        classes: int tensor `[batch]`, the classes whose terms are returned; the winning ones if
            None.

    Returns:
        `(probabilities, token_weights)`: float tensors `[batch, classes]` and float32
        `[batch, length]`.

    Example:

    >>> from keras_combiner import LongDocumentClassifier
    >>> classifier = LongDocumentClassifier.from_texts(
    ...     ["a b", "c d"], ["x", "y"], sequence_length=64, tokenizer="bytes", num_layers=1
    ... )
    >>> token_ids = classifier.tokenizer(["ab"], sequence_length=6)
    >>> probabilities, token_weights = TokenEvidence(classifier)(token_ids)
    >>> tuple(token_weights.shape), [float(x) for x in token_weights[0, 4:]]
    ((1, 6), [0.0, 0.0])
    """

    def __init__(self, classifier):
        self._task = classifier.task
        self._head = [classifier.get_layer(name) for name in self._task.head]
        pooling = classifier.get_layer("pooling")
        self._model = keras.Model(classifier.input, [pooling.input, classifier.output])

    def __call__(self, token_ids, classes=None):
        """See the class docstring."""
        x, probabilities = self._model(token_ids, training=False)
        if classes is None:
            classes = ops.argmax(probabilities, axis=-1)
        # [features, classes] -> [batch, features], those of each document's class.
        direction = ops.take(ops.transpose(self._kernel(x.shape[-1])), classes, axis=0)
        direction = ops.cast(ops.expand_dims(direction, -1), "float32")
        weights = ops.matmul(ops.cast(x, "float32"), direction)
        is_token = ops.not_equal(token_ids, Tokenizer.pad_token_id)
        count = ops.sum(ops.cast(is_token, "float32"), axis=-1, keepdims=True)
        weights = ops.where(is_token, ops.squeeze(weights, -1), 0.0)
        return probabilities, weights / ops.maximum(count, 1.0)

    def _kernel(self, features):
        """Returns what a feature adds to each class: for softmax `W[f, c] - mean over c of W[f]`.

        Calling the layer on unit vectors also works for a kernel that is quantized or has LoRA's
        addition.
        """
        unit_vectors = ops.eye(features, dtype="float32")
        return self._linear(unit_vectors) - self._linear(0.0 * unit_vectors[:1])

    def _linear(self, vectors):
        x = vectors
        for layer in self._head:
            x = layer(x)
        return self._task.linear(x)
