"""The text files that go with a model: vocab.txt, labels.txt and thresholds.txt."""

import contextlib
from pathlib import Path

LABELS_FILE = "labels.txt"
THRESHOLDS_FILE = "thresholds.txt"
VOCABULARY_FILE = "vocab.txt"


def sidecar_texts(classifier):
    """Returns the texts of the files beside a model.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`, or `keras_combiner.CombinerMaskedLM`.

    Returns:
        dict of file name to str: "labels.txt", one label a line in the order of the outputs (none
        for a regression or a masked language model); for a model with thresholds,
        "thresholds.txt", the probability above which each label is given; and, for a model of word
        pieces, "vocab.txt", one token a line in the order of the ids.

    Raises:
        ValueError: for a label that is more than one line.
    """
    labels = getattr(classifier, "labels", [])  # a masked language model has none
    check_labels(labels)
    texts = {}
    if labels:
        texts[LABELS_FILE] = "".join(f"{label}\n" for label in labels)
        thresholds = classifier.task.thresholds_of(labels)
        if thresholds is not None:
            texts[THRESHOLDS_FILE] = "".join(f"{x!r}\n" for x in thresholds)
    # Bytes have no vocabulary.
    vocabulary = getattr(classifier.tokenizer, "vocabulary", None)
    if vocabulary is not None:
        texts[VOCABULARY_FILE] = "".join(f"{token}\n" for token in vocabulary)
    return texts


def check_labels(labels):
    """Raises a ValueError for a label that does not fit on one line of labels.txt."""
    for label in labels:
        if len(label.splitlines()) != 1:
            raise ValueError(
                f"The label {label!r} holds a line break, and {LABELS_FILE} has one label a line. "
                "Rename it in the data."
            )


@contextlib.contextmanager
def written_together(directory, texts):
    """Writes text files that all appear, whole, if the block goes well, or none of them does.

    Args:
        directory: str or path, made if need be.
        texts: dict of file name to str; existing files are replaced.

    Yields:
        None, when the contents are on disk under other names.
    """
    from keras_combiner.atomic_files import atomic_write

    with contextlib.ExitStack() as stack:
        for name, text in texts.items():
            unfinished = stack.enter_context(atomic_write(Path(directory) / name, overwrite=True))
            # Bytes, or Windows would write line ends that readers on a device do not expect.
            unfinished.write_bytes(text.encode("utf-8"))
        yield
