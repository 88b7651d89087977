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
        weight[t] = term[t, c] - mean over classes of term[t]
        term[t, c] = share[t, c] * (sum over features f of x[t, f] * W[f, c]) + bag[t, c]

    Shares are `1 / n`, or with `pooling="label"` the weights of attention for the class; `bag` is
    what `lexical=True` adds for the token's id, divided by the root of `n`, and otherwise zero.

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
    where in the pooled document the evidence lies, not that the token alone caused it.

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
        self._last = classifier.get_layer(classifier.task.output)
        self._pooling = classifier.get_layer("pooling")
        self._by_label = classifier.pooling == "label"
        self._bag = classifier.get_layer("lexical") if classifier.lexical else None
        self._model = keras.Model(classifier.input, [self._pooling.input, classifier.output])

    def __call__(self, token_ids, classes=None):
        """See the class docstring."""
        token_ids = ops.convert_to_tensor(token_ids)
        x, outputs = self._model(token_ids, training=False)
        if classes is None:
            classes = ops.argmax(outputs, axis=-1)
        logit_weights = self._task.logit_weights(classes, outputs.shape[-1])
        is_token = ops.not_equal(token_ids, Tokenizer.pad_token_id)
        pool = self._of_label_averages if self._by_label else self._of_average
        weights = pool(ops.cast(x, "float32"), is_token, logit_weights)
        if self._bag is not None:
            weights = weights + _times(self._bag.by_token(token_ids), logit_weights)
        return outputs, ops.where(is_token, weights, 0.0)

    def _of_average(self, x, is_token, logit_weights):
        """Weights `[batch, length]` of tokens that count alike for all labels."""
        # [batch, features], those of each document's class.
        direction = ops.matmul(logit_weights, ops.transpose(self._kernel(x.shape[-1])))
        count = ops.sum(ops.cast(is_token, "float32"), axis=-1, keepdims=True)
        return _times(x, direction) / ops.maximum(count, 1.0)

    def _of_label_averages(self, x, is_token, logit_weights):
        """Weights `[batch, length]` of tokens that count more or less for each label."""
        shares = ops.cast(self._pooling.attention_weights(x, is_token), "float32")
        terms = ops.matmul(x, ops.cast(self._last.kernel, "float32"))
        return _times(terms * ops.transpose(shares, (0, 2, 1)), logit_weights)

    def _kernel(self, features):
        """Returns what a feature adds to each logit, without what it adds to all of them.

        Calling the layer on unit vectors also works for a kernel that is quantized or has LoRA's
        addition.
        """
        unit_vectors = ops.eye(features, dtype="float32")
        return self._logits(unit_vectors) - self._logits(0.0 * unit_vectors[:1])

    def _logits(self, vectors):
        outputs = ops.cast(self._last(vectors), "float32")
        # With a bag of tokens, the activation comes after the sum.
        return self._task.linear(outputs) if self._bag is None else outputs


def _times(x, vectors):
    """Products of the vectors `[batch, length, n]` of tokens with one `[batch, n]` a document."""
    return ops.squeeze(ops.matmul(ops.cast(x, "float32"), ops.expand_dims(vectors, -1)), -1)
