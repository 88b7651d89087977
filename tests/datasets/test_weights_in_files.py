"""Weights of documents in files of every format: read beside text and label, or refused."""

import doctest
import json

import pytest
import tensorflow as tf

from keras_combiner.datasets import read_documents, weighted_document

ROWS = [("a", "x", 1.0), ("b", "y", 0.5), ("c", "x", 0.0), ("d", "y", 2.0)]


def write_jsonl(path, rows):
    lines = (json.dumps({"text": a, "label": b, "w": c}) for a, b, c in rows)
    path.write_text("\n".join(lines))


def write_csv(path, rows):
    path.write_text("w,text,label\n" + "\n".join(f"{c},{a},{b}" for a, b, c in rows))


def write_parquet(path, rows):
    import pyarrow
    import pyarrow.parquet

    texts, labels, weights = zip(*rows, strict=True)
    table = pyarrow.table({"text": texts, "w": weights, "label": labels})
    pyarrow.parquet.write_table(table, path)


def write_tfrecord(path, rows):
    def of(**value):
        return tf.train.Feature(**value)

    with tf.io.TFRecordWriter(str(path)) as writer:
        for text, label, weight in rows:
            features = {
                "text": of(bytes_list=tf.train.BytesList(value=[text.encode()])),
                "label": of(bytes_list=tf.train.BytesList(value=[label.encode()])),
                "w": of(float_list=tf.train.FloatList(value=[weight])),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


FORMATS = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
    "tfrecord": write_tfrecord,
}


def test_examples_run():
    result = doctest.testmod(weighted_document)
    assert result.attempted > 0 and result.failed == 0


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_weights(name, tmp_path):
    for i in range(2):
        FORMATS[name](tmp_path / f"{i}.{name}", ROWS[2 * i : 2 * i + 2])
    reader = read_documents(tmp_path / f"*.{name}", weight_field="w")
    assert [(text, label) for text, label in reader] == [row[:2] for row in ROWS]
    assert [x.weight for x in reader] == [row[2] for row in ROWS]
    parts = reader.split(0.5)
    assert all(part.has_weights for part in (reader, *parts))
    assert sorted(x.weight for part in parts for x in part) == [0.0, 0.5, 1.0, 2.0]
    assert not read_documents(tmp_path / f"*.{name}").has_weights


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("weight", [-1.0, float("inf"), float("nan")])
def test_what_is_no_weight_is_refused_with_its_place(name, weight, tmp_path):
    path = tmp_path / f"d.{name}"
    FORMATS[name](path, [*ROWS[:1], ("e", "x", weight)])
    words = rf"d\.{name}(:2|:3|: row 2|: record 2): field 'w' must be finite and at least 0"
    with pytest.raises(ValueError, match=words):
        list(read_documents(path, weight_field="w"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"text": "a", "label": "x"}', "no field 'w'.*Name it with weight_field=..."),
        ('{"text": "a", "label": "x", "w": null}', "'w' must be a number, received null"),
        ('{"text": "a", "label": "x", "w": true}', "'w' must be a number, received a boolean"),
        ('{"text": "a", "label": "x", "w": "1"}', "'w' must be a number, received a string"),
    ],
)
def test_what_is_no_number(line, words, tmp_path):
    (tmp_path / "d.jsonl").write_text(line)
    with pytest.raises(ValueError, match=rf"d\.jsonl:1: .*{words}"):
        list(read_documents(tmp_path / "d.jsonl", weight_field="w"))


def test_what_has_no_field_for_weights(tmp_path):
    with pytest.raises(ValueError, match="a directory has no field for weights"):
        read_documents(tmp_path, weight_field="w")
    for name in ("text", "label", ""):
        with pytest.raises(ValueError, match="weight_field must"):
            read_documents(tmp_path, weight_field=name)
