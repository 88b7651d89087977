"""Windows of long documents in TensorFlow operations: exports read them as `classify` does."""

import tensorflow as tf

from keras_combiner.batches.windows import count_windows, window_start

# As many as a server's batch has documents: memory does not grow with a document.
WINDOWS_AT_ONCE = 8


class DocumentWindows:
    """The windows of a batch of documents, the same as in `keras_combiner.batches.windows`.

    Args:
        token_ids: int32 tensor `[documents, length]`, of any length, 0 for padding.
        num_ids: int64 tensor `[documents]`, how many ids each has, without padding.
        sequence_length: int, the most ids of a window.
        fixed_length: int, the one length that the model takes; None if it takes any.

    Attributes:
        counts: int64 tensor `[documents]`, windows of each, at least one.
        documents: int64 tensor `[windows]`, the document of each window, in order.

    Example:

    >>> windows = DocumentWindows(
    ...     tf.constant([[1, 11, 12, 13, 14, 15, 16, 2]]), tf.constant([8], tf.int64), 6
    ... )
    >>> windows.ids(tf.constant([0, 1])).numpy().tolist()
    [[1, 11, 12, 13, 14, 2], [1, 13, 14, 15, 16, 2]]
    """

    def __init__(self, token_ids, num_ids, sequence_length, fixed_length=None):
        # With a column of padding, to which all places without a token point.
        self._token_ids = tf.pad(token_ids, [[0, 0], [0, 1]])
        self._padding = tf.shape(token_ids, tf.int64)[1]
        self._sequence_length, self._fixed_length = sequence_length, fixed_length
        room, num_tokens = sequence_length - 2, num_ids - 2
        self.counts = tf.maximum(count_windows(num_tokens, room), 1)
        self.documents = tf.repeat(tf.range(tf.size(num_ids, tf.int64)), self.counts)
        count, num_tokens, first, self._num_ids = (
            tf.gather(x, self.documents)
            for x in (self.counts, num_tokens, tf.cumsum(self.counts, exclusive=True), num_ids)
        )
        index = tf.range(tf.size(self.documents, tf.int64)) - first
        start = window_start(index, tf.maximum(count, 2), num_tokens, room)
        self._starts = tf.where(count > 1, start, 0)
        self._lengths = tf.minimum(self._num_ids, sequence_length)

    def ids(self, rows):
        """Returns windows.

        Args:
            rows: int tensor `[rows]`, which windows.

        Returns:
            int32 tensor `[rows, length]`, padded with 0 to the longest of them, or to
            `fixed_length`.
        """
        if self._fixed_length is None:
            # At least 1, since not every runtime takes an empty document.
            length = tf.maximum(tf.reduce_max(tf.gather(self._lengths, rows)), 1)
        else:
            length = self._fixed_length
        return tf.gather_nd(self._token_ids, self._places(rows, length))

    def run(self, call, results, rows=None):
        """Calls a function on a few windows at a time.

        Args:
            call: function of int32 `[some, length]`, the ids, and int `[some]`, which windows they
                are; returns a list of tensors `[some, ...]`.
            results: list of tensors `[windows, ...]` to write those into.
            rows: int tensor `[rows]`, the windows to run; None for all.

        Returns:
            list of tensors, `results` with these rows replaced.
        """
        if rows is None:
            rows = tf.range(tf.size(self.documents, tf.int64))
        number = tf.size(rows)

        def step(first, *results):
            some = rows[first : first + WINDOWS_AT_ONCE]
            values = call(self.ids(some), some)
            return (
                first + WINDOWS_AT_ONCE,
                *(
                    tf.tensor_scatter_nd_update(result, some[:, tf.newaxis], value)
                    for result, value in zip(results, values, strict=True)
                ),
            )

        _, *results = tf.while_loop(
            lambda first, *_: first < number,
            step,
            (tf.constant(0), *results),
            shape_invariants=(tf.TensorShape([]), *(x.shape for x in results)),
            parallel_iterations=1,
        )
        return results

    def zeros(self, width, dtype="float32"):
        """Returns a tensor of zeros `[windows, width]` to write results into."""
        return tf.ensure_shape(tf.zeros([tf.size(self.documents), width], dtype), [None, width])

    def add_up(self, values):
        """Adds values of the tokens of windows to the tokens of their documents.

        Args:
            values: float tensor `[windows, sequence_length]`.

        Returns:
            float tensor `[documents, length]`.
        """
        rows = tf.range(tf.size(self.documents, tf.int64))
        shape = tf.shape(self._token_ids, tf.int64)
        return tf.scatter_nd(self._places(rows, self._sequence_length), values, shape)[:, :-1]

    def _places(self, rows, length):
        """Returns where the ids of windows are in the documents: int64 `[rows, length, 2]`."""
        columns = tf.range(tf.cast(length, tf.int64))
        start, size, end, document = (
            tf.gather(x, rows)[:, tf.newaxis]
            for x in (self._starts, self._lengths, self._num_ids, self.documents)
        )
        # Each window is framed by the document's first and last ids.
        place = tf.where(columns == 0, tf.zeros_like(start), start + columns)
        place = tf.where(columns == size - 1, end - 1, place)
        place = tf.where(columns < size, place, self._padding)
        return tf.stack([tf.broadcast_to(document, tf.shape(place)), place], axis=-1)


def windows_of_ids(token_ids, classifier):
    """Returns the windows of documents that are given as token ids.

    Args:
        token_ids: int32 tensor `[documents, length]`, of any length; a document ends with the last
            id that is not padding.
        classifier: `keras_combiner.LongDocumentClassifier`.

    Returns:
        `DocumentWindows`.
    """
    places = tf.range(1, tf.shape(token_ids, tf.int64)[1] + 1)
    ends = tf.where(token_ids != classifier.tokenizer.pad_token_id, places, 0)
    # At least 0: the maximum of an empty row is the smallest integer.
    num_ids = tf.maximum(tf.reduce_max(ends, axis=1), 0)
    return DocumentWindows(
        token_ids, num_ids, classifier.sequence_length, classifier.backbone.input_shape[1]
    )


def pooled_outputs(classifier, windows):
    """Runs a classifier on windows, and pools their outputs to one answer for each document.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`.
        windows: `DocumentWindows`.

    Returns:
        float tensor `[documents, units]`.
    """
    zeros = windows.zeros(classifier.output.shape[-1], classifier.output.dtype)
    (outputs,) = windows.run(lambda ids, _: [classifier(ids, training=False)], [zeros])
    return classifier.task.pool(outputs, windows.counts)


def pooled_evidence(classifier, evidence, windows):
    """Returns `pooled_outputs`, and how much every token speaks for its document's label.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`.
        evidence: `keras_combiner.models.TokenEvidence` of the classifier.
        windows: `DocumentWindows`.

    Returns:
        `(outputs, token_weights)`: float tensors `[documents, units]` and float32
        `[documents, length]`, as `TokenEvidence` defines them for documents of several windows.
    """

    def padded(weights):
        room = classifier.sequence_length - tf.shape(weights)[1]
        return tf.pad(weights, [[0, 0], [0, room]])

    def of_own_class(ids, _):
        outputs, weights = evidence(ids)
        return outputs, padded(weights)

    def of_documents_class(ids, rows):
        wanted = tf.gather(classes, tf.gather(windows.documents, rows))
        return [padded(evidence(ids, wanted)[1])]

    zeros = windows.zeros(classifier.output.shape[-1], classifier.output.dtype)
    weights = windows.zeros(classifier.sequence_length)
    outputs, weights = windows.run(of_own_class, [zeros, weights])
    pooled = classifier.task.pool(outputs, windows.counts)
    classes = tf.argmax(pooled, axis=-1)
    # A window whose class is not its document's is run again, for the document's class.
    differs = tf.argmax(outputs, axis=-1) != tf.gather(classes, windows.documents)
    (weights,) = windows.run(of_documents_class, [weights], tf.where(differs)[:, 0])
    shares = tf.cast(tf.gather(windows.counts, windows.documents), tf.float32)
    return pooled, windows.add_up(weights / shares[:, tf.newaxis])
