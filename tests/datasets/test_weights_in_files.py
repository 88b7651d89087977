"""Weights of documents in files of every format: read beside text and label, or refused."""

import copy
import json
import pickle

import pytest
import tensorflow as tf

from keras_combiner.datasets import jsonl, read_documents
from keras_combiner.datasets.shards import ShardsReader
from keras_combiner.datasets.weighted_document import WeightedDocument

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
@pytest.mark.parametrize("weight", [-1.0, float("inf"), float("nan"), 1e39])
def test_what_is_no_weight_is_refused_with_its_place(name, weight, tmp_path):
    if name == "tfrecord" and weight == 1e39:
        pytest.skip("it holds float32 alone")
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


@pytest.mark.parametrize("number", ["1e39", "1" + "0" * 400])
def test_numbers_that_a_float32_cannot_hold_are_refused(number, tmp_path):
    (tmp_path / "w.jsonl").write_text(f'{{"text": "a", "label": "x", "w": {number}}}')
    (tmp_path / "t.jsonl").write_text(f'{{"text": "a", "target": {number}}}')
    words = "1e+39, which is infinite as a float32" if "e" in number else "a number of hundreds"
    for name, field, options in (("w", "w", {"weight_field": "w"}), ("t", "target", {})):
        with pytest.raises(ValueError) as caught:
            list(read_documents(tmp_path / f"{name}.jsonl", **options))
        assert f"{name}.jsonl:1: field '{field}' must be finite" in str(caught.value)
        assert words in str(caught.value)


WRAPPERS = {
    "none": lambda reader: [reader],
    "take": lambda reader: [reader.take(3)],
    "split": lambda reader: reader.split(0.5),
    "shards": lambda reader: [ShardsReader([reader, reader])],
    "take of a part": lambda reader: [part.take(1) for part in reader.split(0.5)],
    "part of shards": lambda reader: ShardsReader([reader.take(2), reader]).split(0.3, seed=1),
    "shards of parts": lambda reader: [ShardsReader(reader.split(0.5))],
}


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_is_made_of_a_reader_has_its_weights(wrapper, weighted, tmp_path):
    write_jsonl(tmp_path / "d.jsonl", ROWS)
    options = {"weight_field": "w"} if weighted else {}
    weights = {text: weight for text, _, weight in ROWS}
    places = {text: f"{tmp_path}/d.jsonl:{i}" for i, (text, _, _) in enumerate(ROWS, start=1)}
    for reader in WRAPPERS[wrapper](read_documents(tmp_path / "d.jsonl", **options)):
        documents = list(reader)
        assert documents and reader.has_weights == weighted
        assert [x.text for x in documents] == list(reader.texts())
        assert [x.label for x in documents] == list(reader.labels())
        expected = [places[x.text] for x in documents]
        for column in (reader, reader.texts(), reader.labels()):
            assert list(column.places()) == expected
        located = list(reader.located())
        assert located == list(zip(expected, documents, strict=True))
        for document in (*documents, *(x for _, x in located)):
            assert getattr(document, "weight", None) == (
                weights[document.text] if weighted else None
            )
        jsonl.write_jsonl(tmp_path / "again.jsonl", reader)
        if weighted:
            again = read_documents(tmp_path / "again.jsonl", weight_field="weight")
            assert [(*x, x.weight) for x in again] == [(*x, x.weight) for x in documents]
        else:
            assert "weight" not in (tmp_path / "again.jsonl").read_text()
        rows = [tuple(row) for row in reader.dataset().as_numpy_iterator()]
        of_texts = [(x.text.encode(), x.label.encode()) for x in documents]
        assert [row[:2] for row in rows] == of_texts
        assert [row[2:] for row in rows] == [(weights[x.text],) * weighted for x in documents]


@pytest.mark.parametrize("wrapper", ["take", "split"])
def test_what_is_made_of_a_reader_goes_on_past_bad_records(wrapper, tmp_path):
    (tmp_path / "d.jsonl").write_text(
        '{"text": "a", "label": "x"}\n{}\n{"text": "c", "label": "y"}'
    )
    parts = WRAPPERS[wrapper](read_documents(tmp_path / "d.jsonl"))
    located = sorted(pair for part in parts for pair in part.located())
    assert [type(x).__name__ for _, x in located] == ["Document", "ValueError", "Document"]


def test_folders_that_look_alike_stay_apart_in_what_is_made_of_a_reader(tmp_path):
    (tmp_path / "a").mkdir()
    reader = read_documents(tmp_path)
    for name, wrap in WRAPPERS.items():
        assert all(x.keeps_alike_labels for x in wrap(reader)), name


def test_a_copy_of_a_document_has_its_weight():
    document = WeightedDocument("a", "x", 0.5)
    copies = (
        copy.copy(document),
        copy.deepcopy(document),
        pickle.loads(pickle.dumps(document)),
        document._replace(label="x"),
        WeightedDocument(**document._asdict()),
        WeightedDocument._make(("a", "x", 0.5)),
    )
    assert [(*x, x.weight) for x in copies] == [("a", "x", 0.5)] * len(copies)
    assert document._replace(weight=2.0).weight == 2.0
    with pytest.raises(TypeError, match="wait"):
        document._replace(wait=2.0)


def test_what_has_no_field_for_weights(tmp_path):
    with pytest.raises(ValueError, match="a directory has no field for weights"):
        read_documents(tmp_path, weight_field="w")
    for name in ("text", "label", ""):
        with pytest.raises(ValueError, match="weight_field must"):
            read_documents(tmp_path, weight_field=name)
