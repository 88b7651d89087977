"""From texts to batches of token ids, as a tf.data pipeline."""

import math

import numpy as np
import tensorflow as tf

from keras_combiner.text.tokenizer import as_bytes

SHUFFLE_BUFFER = 4096  # documents of a reader held in memory to draw from


def is_text(x):
    """Whether `x` is texts: a list of strings, or a re-iterable reader of documents."""
    refuse_single(x)
    if isinstance(x, np.ndarray):
        return x.dtype.kind in "OSU"
    if isinstance(x, (list, tuple)):
        # One string among them is enough: what else there is, is then an error in the texts.
        return len(x) == 0 or any(isinstance(text, (str, bytes)) for text in x)
    return hasattr(x, "texts") and hasattr(x, "labels")


def refuse_single(x):
    """Raises a ValueError for a single string, which would be read letter by letter."""
    if isinstance(x, (str, bytes)):
        raise ValueError(
            f"Expected a list of texts. Received a single one: {x[:40]!r}. Wrap it in a list."
        )


def count(texts, class_id=None):
    """Number of documents; a reader is read through once to find out.

    With `class_id`, a label that it refuses in a reader shows now, as the ValueError that it is,
    and not in the middle of training.
    """
    if _is_list(texts):
        return len(texts)
    total = 0
    for document in texts:
        total += 1
        if class_id is not None:
            class_id(document.label)
    return total


def hold_out(texts, labels, share):
    """Splits documents into `((texts, labels), (texts, labels))`, training and validation.

    Args:
        texts: list of str, or a reader.
        labels: list of labels, or None with a reader.
        share: float between 0 and 1, of the documents that go to validation.

    Returns:
        Two pairs. The draw is always the same for the same number of documents.

    Raises:
        ValueError: if `share` is out of range.
    """
    if not _is_list(texts):
        training, validation = texts.split(share)
        return (training, None), (validation, None)
    if not 0 < share < 1:
        raise ValueError(f"`validation_split` must lie between 0 and 1. Received: {share!r}.")
    _check_labels(texts, labels)
    order = np.random.default_rng(0).permutation(len(texts))
    held_out = max(1, round(len(texts) * share))

    def pick(indices):
        return [texts[i] for i in indices], [labels[i] for i in indices]

    return pick(order[held_out:]), pick(order[:held_out])


def batches(texts, labels, total, encode, class_id, batch_size, shuffle=False, length=None):
    """Makes the batches that a Keras model reads.

    Args:
        texts: list of str, whose token ids are kept after the first pass; or a reader, which
            streams in every pass.
        labels: list of labels, None with a reader.
        total: int, number of documents.
        encode: callable, string tensor `[1]` to RaggedTensor int32 `[1, None]` of token ids.
        class_id: callable, label to int; or None for batches without classes.
        batch_size: int, documents a batch.
        shuffle: bool, whether every pass has its own order.
        length: int, token ids a document; the longest of the batch decides if None.

    Returns:
        tf.data.Dataset of `(token_ids int32 [batch, length], class ids int32 [batch])`, or of
        one-tuples without `class_id`.

    Raises:
        ValueError: if texts and labels differ in number, or `class_id` refuses a label.
    """
    if _is_list(texts):
        examples = _from_lists(texts, labels, class_id)
    else:
        examples = _from_reader(texts, class_id)

    def to_token_ids(text, *classes):
        return (encode(tf.expand_dims(text, 0))[0], *classes)

    examples = examples.map(to_token_ids, num_parallel_calls=tf.data.AUTOTUNE)
    if _is_list(texts):
        examples = examples.cache()
    if shuffle:
        examples = examples.shuffle(total if _is_list(texts) else SHUFFLE_BUFFER)
    shapes = ([length],) if class_id is None else ([length], [])
    examples = examples.padded_batch(batch_size, padded_shapes=shapes)
    # Keras shows the time left, and takes the end for an end, where it knows the number of steps.
    steps = tf.data.experimental.assert_cardinality(math.ceil(total / batch_size))
    return examples.apply(steps).prefetch(tf.data.AUTOTUNE)


def _is_list(x):
    return isinstance(x, (list, tuple, np.ndarray))


def _check_labels(texts, labels):
    if labels is None or len(texts) != len(labels):
        received = "no labels" if labels is None else f"{len(labels)} labels"
        raise ValueError(f"Every text needs a label. Received: {len(texts)} texts, {received}.")


def _from_lists(texts, labels, class_id):
    columns = ([as_bytes(text, i) for i, text in enumerate(texts)],)
    if class_id is not None:
        _check_labels(texts, labels)
        columns += (np.array([class_id(label) for label in labels], "int32"),)
    return tf.data.Dataset.from_tensor_slices(columns)


def _from_reader(documents, class_id):
    def rows():
        for i, document in enumerate(documents):
            row = (as_bytes(document.text, i),)
            yield row if class_id is None else (*row, class_id(document.label))

    signature = (tf.TensorSpec((), tf.string),)
    if class_id is not None:
        signature += (tf.TensorSpec((), tf.int32),)
    return tf.data.Dataset.from_generator(rows, output_signature=signature)
