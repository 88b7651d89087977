"""Documents: what belongs together stays together."""

import numpy as np
import pytest

from keras_combiner.batches.documents import Documents
from keras_combiner.datasets import read_documents, write_jsonl

TEXTS = [f"text {i}" for i in range(20)]
LABELS = [str(i) for i in range(20)]
WEIGHTS = [i / 4 for i in range(20)]


def test_parts_keep_labels_and_weights_beside_their_texts():
    documents = Documents(TEXTS, LABELS, WEIGHTS)
    training, validation = documents.hold_out(0.2)
    first = documents.take(3)
    assert (first.texts, first.labels) == (["text 0", "text 1", "text 2"], ["0", "1", "2"])
    assert first.weights.tolist() == [0, 0.25, 0.5]
    assert len(validation.texts) == 4 and sorted(training.texts + validation.texts) == sorted(TEXTS)
    for part in (training, validation):
        places = [TEXTS.index(text) for text in part.texts]
        assert part.labels == [LABELS[i] for i in places]
        assert part.weights.tolist() == [WEIGHTS[i] for i in places]
    again = Documents(TEXTS).hold_out(0.2)
    assert [part.texts for part in again] == [training.texts, validation.texts]
    assert again[0].labels is None and again[0].weights is None


def test_a_reader_brings_what_belongs_to_its_texts(tmp_path):
    write_jsonl(tmp_path / "r.jsonl", zip(TEXTS, LABELS, strict=True))
    documents = Documents(read_documents(tmp_path / "r.jsonl"))
    documents.check_labelled()
    assert documents.is_stream and not documents.has_weights
    assert list(documents.each_label()) == LABELS
    parts = [list(part.each_label()) for part in documents.hold_out(0.5)]
    assert all(parts) and sorted([*parts[0], *parts[1]]) == sorted(LABELS)
    assert [x.text for x in documents.take(2).texts] == TEXTS[:2]
    for more in ({"labels": LABELS}, {"weights": WEIGHTS}):
        with pytest.raises(ValueError, match="A reader brings the"):
            Documents(documents.texts, **more)


def test_unlabelled_texts_are_told():
    with pytest.raises(ValueError, match=r"needs a label\. Received: 20 texts, no labels"):
        Documents(TEXTS).check_labelled()
    with pytest.raises(ValueError, match=r"needs a label\. Received: 20 texts, 19 labels"):
        Documents(TEXTS, LABELS[1:])
    with pytest.raises(ValueError, match=r"needs a weight\. Received: 20 texts, 2 weights"):
        Documents(TEXTS, LABELS, np.ones(2))
