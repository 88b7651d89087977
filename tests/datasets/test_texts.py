"""Documents without labels: folders and files of text, and records whose labels do not matter."""

import gzip
import json

import pytest

from keras_combiner.datasets import read_texts
from keras_combiner.datasets.document import Document


def texts(path, **options):
    documents = list(read_texts(path, **options))
    assert all(isinstance(x, Document) and x.label is None for x in documents)
    return [x.text for x in documents]


def test_every_file_below_a_folder_is_a_document(tmp_path):
    for name in ("b.txt", "a.md", "plain", "z/deep/er.txt", "c/1.txt", ".hidden", ".git/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "empty folder").mkdir()
    (tmp_path / "c" / "2.txt.gz").write_bytes(gzip.compress(b"c/2.txt.gz"))
    expected = ["a.md", "b.txt", "plain", "c/1.txt", "c/2.txt.gz", "z/deep/er.txt"]
    assert texts(tmp_path) == expected
    reader = read_texts(tmp_path)
    assert list(reader.places()) == [str(tmp_path / x) for x in expected]
    assert sorted(x.text for part in reader.split(0.5) for x in part) == sorted(expected)


def test_a_file_and_a_pattern_of_files(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.txt").write_bytes(b"\xef\xbb\xbfnumber\r\n%d" % i)
    assert texts(tmp_path / "1.txt") == ["number\n1"]
    assert texts(tmp_path / "[02].txt") == ["number\n0", "number\n2"]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "tfrecord"])
def test_labels_of_records_are_not_looked_at(form, tmp_path):
    path = tmp_path / f"data.{form}"
    # Of no kind that a classifier takes: others in every record, or in a field without a text.
    labels = ["x", "", "1|2"]
    bodies = ["one", "two", "three"]
    if form == "jsonl":
        rows = [{"label": {"a": 1}, "body": "one"}, {"body": "two"}, {"target": "x"}]
        rows[2]["body"] = "three"
        path.write_text("".join(json.dumps(x) + "\n" for x in rows))
    elif form == "csv":
        rows = "".join(f"{x},{y},0\n" for x, y in zip(labels, bodies, strict=True))
        path.write_text("labels,body,target\n" + rows)
    elif form == "parquet":
        import pyarrow
        import pyarrow.parquet

        table = {"label": [1.5, None, 2.5], "labels": [["a"], [], []], "body": bodies}
        pyarrow.parquet.write_table(pyarrow.table(table), path)
    else:
        import tensorflow as tf

        with tf.io.TFRecordWriter(str(path)) as writer:
            for body in bodies:
                features = {
                    "body": tf.train.Feature(bytes_list=tf.train.BytesList(value=[body.encode()])),
                    "label": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"\xff", b"b"])),
                }
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
    assert texts(path, text_field="body") == bodies


def test_a_field_of_any_name_may_hold_the_text(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"label": "a text"}\n')
    assert texts(path, text_field="label") == ["a text"]


def test_shards_with_labels_of_several_kinds(tmp_path):
    (tmp_path / "1.jsonl").write_text('{"text": "one", "label": "x"}\n')
    (tmp_path / "2.jsonl").write_text('{"text": "two", "target": 2}\n')
    assert texts(tmp_path / "*.jsonl") == ["one", "two"]


def test_what_it_refuses(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_texts(tmp_path / "nix")
    with pytest.raises(FileNotFoundError, match="No file matches the pattern"):
        read_texts(tmp_path / "*.txt")
    with pytest.raises(ValueError, match="text_field must be the name of a field"):
        read_texts(tmp_path, text_field="")
    with pytest.raises(ValueError, match=r"no files\. Every file in it is to be a document"):
        texts(tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"latin\.txt:1: not UTF-8"):
        texts(tmp_path)
    (tmp_path / "broken.txt.gz").write_bytes(gzip.compress(b"a text")[:-9])
    with pytest.raises(ValueError, match="ends in the middle of its compressed data"):
        texts(tmp_path / "broken.txt.gz")
    (tmp_path / "a.jsonl.gz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a file of records.*by a pattern: '.*\*\.jsonl\.gz'"):
        texts(tmp_path)
    (tmp_path / "b.jsonl").write_text('{"txet": "a"}\n')
    with pytest.raises(ValueError, match=r"b\.jsonl:1: no field 'text'; fields are 'txet'"):
        texts(tmp_path / "b.jsonl")
