"""Batches of texts: the same from any position, of a list and of a stream, cut or in windows."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.batches import document_encoder, text_batches
from keras_combiner.batches.document_encoder import DocumentEncoder
from keras_combiner.batches.documents import Documents
from keras_combiner.batches.encoded_documents import EncodedDocuments
from keras_combiner.batches.text_batches import TextBatches
from keras_combiner.datasets import read_documents, write_jsonl
from keras_combiner.text import ByteTokenizer

LENGTH = 40
TEXTS = ["x" * (i * 7 % 35) + f" {i}" for i in range(61)]
LABELS = [str(i) for i in range(61)]
TARGET = tf.TensorSpec([], "int32")


@pytest.fixture
def reader(tmp_path):
    write_jsonl(tmp_path / "r.jsonl", zip(TEXTS, LABELS, strict=True))
    return read_documents(tmp_path / "r.jsonl")


def encoded(texts, labels=None, weights=None, target=np.int32, **options):
    encoder = DocumentEncoder(ByteTokenizer(), LENGTH, **options)
    return EncodedDocuments(Documents(texts, labels, weights), encoder, target=target)


def as_lists(batches):
    return [(token_ids.tolist(), targets.tolist()) for token_ids, targets in batches]


@pytest.fixture
def small_pools(monkeypatch):
    monkeypatch.setattr(text_batches, "POOL_EXAMPLES", 24)


@pytest.mark.parametrize("source", ["list", "reader"])
@pytest.mark.parametrize("long_texts", ["truncate", "windows"])
def test_go_on_at_any_position_with_what_would_have_come(source, long_texts, reader, small_pools):
    texts, labels = (reader, None) if source == "reader" else (TEXTS, LABELS)
    texts = texts if source == "reader" else [x + "y" * (40 * (len(x) > 30)) for x in texts]
    batches = TextBatches(encoded(texts, labels, long_texts=long_texts), 5, seed=3, target=TARGET)
    total = 2 * len(batches) + 3
    whole = as_lists(itertools.islice(batches.batches(), total))
    for position in (0, 1, 7, len(batches) - 1, len(batches), len(batches) + 9):
        rest = as_lists(itertools.islice(batches.batches(position), total - position))
        assert rest == whole[position:]
    # Every epoch has everything once, in another order.
    epochs = [whole[: len(batches)], whole[len(batches) : 2 * len(batches)]]
    assert epochs[0] != epochs[1]
    rows = [
        sorted(str(np.trim_zeros(row)) for token_ids, _ in epoch for row in token_ids)
        for epoch in epochs
    ]
    assert rows[0] == rows[1]


def test_what_was_seen_is_not_made_into_ids_again(reader, small_pools, monkeypatch):
    batches = TextBatches(encoded(reader), 5, target=TARGET)
    made = []
    encode = ByteTokenizer.encode
    monkeypatch.setattr(
        ByteTokenizer, "encode", lambda self, x, n: made.extend(x) or encode(self, x, n)
    )
    monkeypatch.setattr(document_encoder, "_THREADS", 1)
    next(batches.batches(position=len(batches) - 1))
    assert 0 < len(made) < len(TEXTS) / 2


def test_a_stream_has_the_batches_of_the_list_where_it_fits_a_pool(reader):
    results = [
        as_lists(TextBatches(encoded(*x), 8, seed=1, target=TARGET).finite())
        for x in ((reader, None), (TEXTS, LABELS))
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize("order", ["shuffled", "grouped", "given"])
def test_outputs_come_back_in_order(order):
    batches = TextBatches(encoded(TEXTS, LABELS), 8, order=order, target=TARGET)
    targets = np.concatenate([targets for _, targets in batches.finite()])
    np.testing.assert_array_equal(batches.in_order(targets), np.arange(61))


def test_token_ids_are_the_tokenizers():
    documents = encoded([*TEXTS, "long " * 100, "", "caf\xe9 \udcff"], [*LABELS, 0, 0, 0])
    expected = ByteTokenizer()([*TEXTS, "long " * 100, "", "caf\xe9 \udcff"], LENGTH).numpy()
    for (ids, _), row in zip(documents.examples(), expected, strict=True):
        np.testing.assert_array_equal(ids, row[: len(ids)])
        assert not row[len(ids) :].any()
    assert documents.is_long.tolist() == [False] * 61 + [True, False, False]


def test_windows_share_the_label_and_short_documents_are_left_alone():
    long = "".join(map(chr, range(33, 126)))
    documents = encoded(["short", long, "x" * 100_000], ["0", "1", "2"], long_texts="windows")
    assert documents.windows.tolist() == [1, 3, 3448]
    examples = list(documents.examples())
    assert [int(target) for _, target in examples[:5]] == [0, 1, 1, 1, 2]
    np.testing.assert_array_equal(examples[0][0], ByteTokenizer().encode(["short"], LENGTH)[0])
    covered = np.concatenate([ids[1:-1] for ids, _ in examples[1:4]])
    assert set(covered - 3) == set(long.encode())
    assert documents.tokens.tolist() == [7, len(long) + 2, 100_002]
    # Taken up in the middle of a document.
    for first in (2, 4, 5):
        rest = [ids.tolist() for ids, _ in documents.examples(first)]
        assert rest == [ids.tolist() for ids, _ in examples[first:]]


@pytest.mark.parametrize(
    ("texts", "long_texts", "line"),
    [
        (["ab"] * 3, "truncate", "3 documents, 12 tokens; 0 longer than 40; 50.0% padding in "),
        (["ab", "x" * 99], "truncate", "2 documents, 44 tokens; 1 longer than 40 and truncated; "),
        (["x" * 99], "windows", "1 document, 101 tokens; 1 longer than 40, in 4 windows with the"),
    ],
)
def test_says_what_there_is(texts, long_texts, line):
    batches = TextBatches(
        encoded(texts, ["0"] * len(texts), long_texts=long_texts), 1, target=TARGET
    )
    assert str(batches).startswith(line)


def test_data_sets_have_the_batches():
    batches = TextBatches(encoded(TEXTS, LABELS), 8, target=TARGET)
    assert as_lists(batches.dataset(position=3, count=9).as_numpy_iterator()) == as_lists(
        itertools.islice(batches.batches(3), 9)
    )
    assert int(batches.dataset(count=9).cardinality()) == 9
    plain = encoded(TEXTS, target=None)
    one_length = TextBatches(plain, 8, padded_lengths=[LENGTH]).dataset()
    assert one_length.element_spec == (tf.TensorSpec([None, LENGTH], tf.int32),)


def test_documents_that_change_while_they_are_read(reader, tmp_path):
    batches = TextBatches(encoded(reader), 8, target=TARGET)
    write_jsonl(tmp_path / "r.jsonl", zip(TEXTS[:40], LABELS, strict=False))
    with pytest.raises(ValueError, match="fewer documents than at the start"):
        list(batches.finite())


@pytest.mark.parametrize("part", ["text", "label"])
def test_a_document_that_changes_while_it_is_read_is_named(part, reader, tmp_path, small_pools):
    batches = TextBatches(encoded(reader), 8, target=TARGET)
    list(batches.finite())
    texts, labels = list(TEXTS), list(LABELS)
    if part == "text":
        texts[40] = texts[40][::-1]  # as long as it was
    else:
        labels[40] = "7"
    write_jsonl(tmp_path / "r.jsonl", zip(texts, labels, strict=True))
    expected = rf"r\.jsonl:41 has changed since the documents were first read \(its {part}\)"
    with pytest.raises(ValueError, match=expected):
        list(batches.finite())
    with pytest.raises(ValueError, match=expected):  # that epoch's batches from the middle on
        list(itertools.islice(batches.batches(len(batches) + 4), 4))


def test_fingerprints_tell_documents_apart(reader):
    def of(texts, labels, **options):
        return TextBatches(encoded(texts, labels, **options), 8, target=TARGET).fingerprint()

    plain, swapped = of(TEXTS, LABELS), of(TEXTS, [*LABELS[1:], LABELS[0]])
    assert of(reader, None) == of(np.array(TEXTS), tuple(LABELS)) == plain
    assert {x for x in plain if plain[x] != swapped[x]} == {"labels of the training documents"}
    other = of([*TEXTS[1:], TEXTS[0]], [*LABELS[1:], LABELS[0]])
    assert {x for x in plain if plain[x] != other[x]} == {
        "texts of the training documents",
        "labels of the training documents",
    }
    # Where one document ends and the next begins is part of it.
    assert of(["ab", "c"], ["1", "1"]) != of(["a", "bc"], ["1", "1"])


def test_an_error_of_a_reader_is_its_own(tmp_path):
    (tmp_path / "r.jsonl").write_text('{"text": "a", "label": "1"}\n{"text": "b"}\n')
    with pytest.raises(ValueError, match=r"r\.jsonl:2: no field 'label'"):
        encoded(read_documents(tmp_path / "r.jsonl"))


def test_what_a_distribution_cannot_divide_is_refused(monkeypatch):
    mesh = keras.distribution.DeviceMesh((4,), ["batch"], [f"cpu:{i}" for i in range(4)])
    distribution = keras.distribution.DataParallel(device_mesh=mesh)
    text_batches.check_divisible(61, 16)  # there is no distribution
    monkeypatch.setattr(keras.distribution, "distribution", lambda: distribution)
    text_batches.check_divisible(60, 16)
    for num_examples, batch_size in ((61, 16), (60, 6)):
        with pytest.raises(ValueError, match="must be multiples of 4"):
            text_batches.check_divisible(num_examples, batch_size)


@pytest.mark.parametrize("order", ["shuffled", "grouped", "given"])
def test_groups_stay_together(order):
    rows = encoded(TEXTS[:60], LABELS[:60])
    target = tf.TensorSpec([3], "int32")
    batches = TextBatches(rows, 4, order=order, target=target, group_size=3)
    assert len(batches) == 5
    seen = []
    for position, (token_ids, numbers) in enumerate(batches.finite()):
        assert numbers.shape == (4, 3) and len(token_ids) == 12
        assert (numbers[:, 0] % 3 == 0).all() and (np.diff(numbers) == 1).all()
        np.testing.assert_array_equal(batches.rows(position), np.ravel(numbers))
        for ids, number in zip(token_ids, np.ravel(numbers), strict=True):
            assert ByteTokenizer().decode([ids[ids != 0]]) == [TEXTS[number]]
        # Padded to the longest text of the batch, or a little more.
        assert token_ids.shape[1] - max(len(TEXTS[x]) + 2 for x in np.ravel(numbers)) < LENGTH / 2
        seen += np.ravel(numbers).tolist()
    assert sorted(seen) == list(range(60))
    ids, numbers = next(iter(batches.dataset(count=1)))
    assert ids.shape[0] == 12 and numbers.shape == (4, 3)
    held = sum(x.size for x, _ in batches.finite())
    assert batches.summary()["padding"] == pytest.approx(1 - rows.lengths.sum() / held)
    np.testing.assert_array_equal(batches.in_order(np.array(seen)), np.arange(60))
