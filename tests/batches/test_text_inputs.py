"""Texts and labels in whatever container they are held: the same documents, or a sentence."""

import decimal
import enum

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_combiner import tasks
from keras_combiner.batches import text_inputs
from keras_combiner.batches.document_encoder import DocumentEncoder
from keras_combiner.batches.documents import Documents
from keras_combiner.batches.encoded_documents import EncodedDocuments
from keras_combiner.text import ByteTokenizer
from tests.batches.small import fitted_on

# What holds strings. An index in another order, with gaps, says nothing.


def shuffled(values):
    return np.random.default_rng(len(values)).permutation(len(values)) * 3 + 1


STRINGS = {
    "list": list,
    "tuple": tuple,
    "str array": lambda x: np.array(x, str),
    "object array": lambda x: np.array(x, object),
    "bytes": lambda x: [y.encode() for y in x],
    "StringDType": lambda x: np.array(x, np.dtypes.StringDType()),
    "Series": lambda x: pd.Series(x, index=shuffled(x), dtype=object),
    "string Series": lambda x: pd.Series(x, index=shuffled(x), dtype="string"),
    "Arrow Series": lambda x: pd.Series(x, index=shuffled(x), dtype=pd.ArrowDtype(pa.string())),
    "category": lambda x: pd.Series(x, index=shuffled(x), dtype="category"),
    "Categorical": pd.Categorical,
    "Index": lambda x: pd.Index(x, dtype=object),
    "string array": lambda x: pd.array(x, dtype="string"),
    "Arrow": lambda x: pa.array(x, pa.string()),
    "chunks": lambda x: pa.chunked_array([x[:1], x[1:]], pa.string()),
    "dictionary": lambda x: pa.array(x, pa.string()).dictionary_encode(),
    "values": lambda x: dict(enumerate(x)).values(),
    "tensor": lambda x: tf.constant(x, tf.string, [len(x)]),
    "list of tensors": lambda x: [tf.constant(y) for y in x],
}
# Without NUL, at which numpy's fixed lengths end, and half surrogates, which only Python holds.
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=6)
NAMES = WORDS.filter(str.strip)


def examples(texts, labels, task=None, names=None):
    """The names learned, and the documents' ids and targets."""
    task, learned = tasks.get(task or "single_label").learned(labels)
    encoder = DocumentEncoder(ByteTokenizer(), 24)
    documents = EncodedDocuments(
        Documents(texts, labels), encoder, target=task.targets(names or learned)
    )
    return learned, [(ids.tolist(), target.tolist()) for ids, target in documents.examples()]


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.tuples(WORDS, st.sampled_from(["tale", "weather", "Müll"])), min_size=1),
    st.sampled_from(list(STRINGS)),
    st.sampled_from(list(STRINGS)),
)
def test_documents_are_the_same_in_every_container(pairs, of_texts, of_labels):
    texts, labels = map(list, zip(*pairs, strict=True))
    expected = examples(texts, labels)
    held = STRINGS[of_texts](texts)
    assert text_inputs.is_text(held)
    assert examples(held, STRINGS[of_labels](labels)) == expected


@pytest.mark.parametrize("name", STRINGS)
def test_every_container_holds_texts_and_labels(name):
    words = ["rain", "a long while ago", "wind", "Müll"]
    held = STRINGS[name](words)
    assert text_inputs.is_text(held)
    assert examples(held, held) == examples(words, words)
    assert text_inputs.is_text(STRINGS[name]([]))


NUMBERS = {
    "list": list,
    "floats": lambda x: [float(y) for y in x],
    "int array": np.array,
    "float32 array": lambda x: np.array(x, "float32"),
    "column": lambda x: np.array(x).reshape(-1, 1),
    "numpy scalars": lambda x: [np.int8(y) for y in x],
    "Series": lambda x: pd.Series(x, index=shuffled(x)),
    "Int64": lambda x: pd.Series(x, dtype="Int64"),
    "Arrow": pa.array,
    "tensor": tf.constant,
    "list of tensors": lambda x: [tf.constant(y) for y in x],
    "decimals": lambda x: [decimal.Decimal(y) for y in x],
}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1), st.sampled_from(list(NUMBERS)))
def test_numbers_are_the_same_in_every_container(numbers, container):
    held = NUMBERS[container](numbers)
    task, names = tasks.get("single_label").learned(held)
    assert names == sorted({str(x) for x in numbers})
    ids = list(map(task.targets(names), text_inputs.as_list(held, "labels")))
    assert [names[i] for i in ids] == [str(x) for x in numbers]
    task, _ = tasks.get("regression").learned(held)
    assert task.mean == pytest.approx(np.mean(numbers))
    values = map(task.targets([]), text_inputs.as_list(held, "labels"))
    assert [x.tolist() for x in values] == [[x] for x in numbers]


@pytest.mark.parametrize(
    "several",
    [
        [("a", "b"), ("b",), ()],
        [{"a", "b"}, {"b"}, set()],
        [np.array(["a", "b"]), np.array(["b"]), np.array([])],
        pd.Series([["a", "b"], ["b"], []], index=[2, 0, 1]),
        pa.array([["a", "b"], ["b"], []]),
        tf.ragged.constant([["a", "b"], ["b"], []]),
        [[b"a", np.str_("b")], [tf.constant("b")], []],
    ],
)
def test_several_labels_are_the_same_in_every_container(several):
    task, names = tasks.get("multi_label").learned(several)
    assert names == ["a", "b"]
    targets = map(task.targets(names), text_inputs.as_list(several, "labels"))
    assert [x.tolist() for x in targets] == [[1, 1], [0, 1], [0, 0]]


# What holds floats in 32 or 16 bits, which are other numbers in 64.
NARROW = {
    "numpy": lambda x: np.array(x, "float32"),
    "tensor": lambda x: tf.constant(x, tf.float32),
    "Arrow": lambda x: pa.array(x, pa.float32()),
    "half Arrow": lambda x: pa.array(np.array(x, "float16")),
    "chunks": lambda x: pa.chunked_array([pa.array(x, pa.float32())]),
    "dictionary": lambda x: pa.array(x, pa.float32()).dictionary_encode(),
    "Float32": lambda x: pd.Series(x, dtype="Float32"),
    "Arrow Series": lambda x: pd.Series(x, dtype=pd.ArrowDtype(pa.float32())),
    "category": lambda x: pd.Series(np.array(x, "float32")).astype("category"),
}


def test_narrow_floats_keep_their_names_in_lists_of_labels():
    several = pa.array([[0.1, 0.5], [0.1], []], pa.list_(pa.float32()))
    assert tasks.get("multi_label").learned(several)[1] == ["0.1", "0.5"]
    wide = pa.array([0.1, 0.5], pa.float64())
    assert text_inputs.as_list(wide, "labels") == [0.1, 0.5]


class Grade(enum.Enum):
    GOOD = "good"


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([True, np.bool_(False), "True"], ["False", "True"]),
        ([1, 1.0, np.int64(1), np.float32(1), b"1", tf.constant(1), "2"], ["1", "2"]),
        (["Mu\u0308ll", "M\u00fcll", "x"], ["M\u00fcll", "x"]),
        *((make([0.1, 0.5]), ["0.1", "0.5"]) for make in NARROW.values()),
        ([Grade.GOOD, "bad"], ["bad", "good"]),
        (dict.fromkeys(["b", "a"]), None),  # which has an order, but says nothing of each text
    ],
)
def test_labels_have_one_name(labels, names):
    task = tasks.get("single_label")
    if names is None:
        with pytest.raises(ValueError, match="Received: a dict"):
            task.learned(labels)
        return
    assert task.learned(labels)[1] == names


# By position


def test_a_shuffled_table_is_read_by_position(classifier, monkeypatch):
    table = pd.DataFrame({"text": list("aabb") * 20, "label": list("aabb") * 20})
    table = table.sample(frac=1, random_state=3)
    table = table[table.index % 5 > 0]  # and has gaps
    caught = fitted_on(
        monkeypatch, classifier, table.text.tolist(), table.label, validation_split=0.2
    )
    validation = list(caught["validation_data"].as_numpy_iterator())
    training = list(caught["batches"].finite())
    rows = [row for batch in training + validation for row in zip(*batch, strict=True)]
    assert len(rows) == len(table)
    for token_ids, target in rows:
        assert classifier.tokenizer.decode([token_ids]) == [classifier.labels[target]]
