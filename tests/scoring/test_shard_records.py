import gzip
import json

import pytest

from keras_combiner.scoring.shard_records import length_batches, shard_records


def read(path, **kwargs):
    """Good texts by place, and bad reasons by place."""
    records = list(shard_records(str(path), **kwargs))
    good = {next(iter(place.items())): text for place, text, _ in records if text is not None}
    bad = [(place, reason) for place, text, reason in records if text is None]
    return good, bad


def test_json_lines_are_read_past_what_is_bad(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_bytes(
        b'no json\n\n{"text": "one", "label": {}}\n{"text": "\xff"}\n'
        b'{"text": "two", "label": "a"}\n'
        b'{"text": 3, "target": 1, "labels": []}\n{"text": "three"}\n'
    )
    good, bad = read(path)
    assert good == {("line", 3): "one", ("line", 5): "two", ("line", 7): "three"}
    assert [place for place, _ in bad] == [{"line": 1}, {"line": 4}, {"line": 6}]
    words = ["invalid JSON", "not UTF-8", "must be a string, received a number"]
    for (_, reason), part in zip(bad, words, strict=True):
        assert part in reason
        assert str(path) not in reason


def test_csv_is_read_past_what_is_bad(tmp_path):
    path = tmp_path / "some.csv"
    path.write_text('id,text\n1,one\n2\n3,"th"ree\n4,"fo\nur"\n5,five\n')
    good, bad = read(path)
    assert good == {("line", 2): "one", ("line", 5): "fo\nur", ("line", 7): "five"}
    assert [place for place, _ in bad] == [{"line": 3}, {"line": 4}]
    assert "expected 2 fields" in bad[0][1] and "invalid CSV" in bad[1][1]


def test_rows_of_parquet_without_a_text_are_bad(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "some.parquet"
    parquet.write_table(pyarrow.table({"body": ["one", None, "three"]}), path)
    good, [(place, reason)] = read(path, text_field="body")
    assert good == {("row", 1): "one", ("row", 3): "three"}
    assert place == {"row": 2}
    assert reason.startswith("field 'body' must be a string, received null")


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_what_ends_the_reading_comes_last(tmp_path, damage):
    path = tmp_path / "some.jsonl.gz"
    lines = "".join(json.dumps({"text": f"document {i}"}) + "\n" for i in range(5000))
    content = gzip.compress(lines.encode())
    path.write_bytes(
        {"cut": content[: len(content) // 2], "garbage": b"no gzip", "empty": gzip.compress(b"")}[
            damage
        ]
    )
    good, [(place, reason)] = read(path, name="gs://b/some.jsonl.gz")
    assert place == {}
    assert reason.startswith("Nothing more was read. gs://b/some.jsonl.gz:")
    assert (0 < len(good) < 5000) == (damage == "cut")
    assert list(good.values()) == [f"document {i}" for i in range(len(good))]


def test_files_without_records_are_refused(tmp_path):
    (tmp_path / "classes").mkdir()
    with pytest.raises(ValueError, match=r"expected a file of records, .jsonl or .ndjson"):
        list(shard_records(str(tmp_path / "classes")))
    (tmp_path / "some.txt").touch()
    with pytest.raises(ValueError, match=r"cannot tell what it holds from its ending '.txt'"):
        list(shard_records(str(tmp_path / "some.txt")))


def test_batches_hold_every_document_once_and_little_padding():
    texts = [(i, "x" * (1 + (i * 7919) % 1000)) for i in range(1000)]
    batches = list(length_batches(texts, batch_size=16, pool_size=300))
    assert sorted(i for batch in batches for i, _ in batch) == list(range(1000))
    assert max(map(len, batches)) == 16
    padded = sum(len(batch) * max(len(text) for _, text in batch) for batch in batches)
    assert 1 - sum(len(text) for _, text in texts) / padded < 0.06
    # A pool of long texts is cut off by its size.
    assert [len(x) for x in length_batches(texts[:4], batch_size=4, pool_characters=1)] == [1] * 4
