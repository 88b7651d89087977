"""Parquet, TFRecord, compression, shards and targets: what is accepted, and what is said of it."""

import gzip
import json
import sys
import tracemalloc

import pytest

from keras_combiner.data_warning import DataWarning
from keras_combiner.datasets import Document, compression, read_documents, readers, write_jsonl

pyarrow = pytest.importorskip("pyarrow")
zstd = compression.import_zstd()

TWO = [Document("A fine book.", "good"), Document("Too long.", "bad")]
SEVERAL = [
    Document("A rose.", ("red", "soft")),
    Document("Air.", ()),
    Document("A cherry.", ("red",)),
]
NUMBERS = [Document("cheap", 1.5), Document("dear", -2e6)]
ROWS = {
    "single_label": [{"text": x.text, "label": x.label} for x in TWO],
    "multi_label": [{"text": x.text, "labels": list(x.label)} for x in SEVERAL],
    "regression": [{"text": x.text, "target": x.label} for x in NUMBERS],
}
DOCUMENTS = {"single_label": TWO, "multi_label": SEVERAL, "regression": NUMBERS}


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_parquet(path, rows, **options):
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, **options)


def write_tfrecord(path, rows, compression=""):
    import tensorflow as tf

    def feature(value):
        values = value if isinstance(value, list) else [value]
        if all(isinstance(x, (str, bytes)) for x in values):
            values = [x.encode() if isinstance(x, str) else x for x in values]
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if all(isinstance(x, int) for x in values):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for row in rows:
            features = {name: feature(value) for name, value in row.items()}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


def write(path, task):
    rows = ROWS[task]
    match path.name.split(".", 1)[1]:
        case "jsonl":
            path.write_bytes(jsonl(rows))
        case "jsonl.gz":
            # Two members one after the other, as `cat a.gz b.gz` makes.
            path.write_bytes(gzip.compress(jsonl(rows[:1])) + gzip.compress(jsonl(rows[1:])))
        case "jsonl.zst":
            path.write_bytes(zstd.compress(jsonl(rows[:1])) + zstd.compress(jsonl(rows[1:])))
        case "csv" | "csv.gz":
            column, *_ = set(rows[0]) - {"text"}
            lines = [f"text,{column}"]
            for row in rows:
                value = row[column]
                lines.append(f"{row['text']},{'|'.join(value) if type(value) is list else value}")
            content = "\n".join(lines).encode()
            path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        case "parquet":
            write_parquet(path, rows)
        case "tfrecord" | "tfrecord-00001-of-00002":
            write_tfrecord(path, rows)
        case "tfrecord.gz":
            write_tfrecord(path, rows, "GZIP")
    return path


@pytest.mark.parametrize("task", ROWS)
@pytest.mark.parametrize(
    "ending",
    [
        "jsonl",
        "jsonl.gz",
        "jsonl.zst",
        "csv",
        "csv.gz",
        "parquet",
        "tfrecord",
        "tfrecord.gz",
        "tfrecord-00001-of-00002",
    ],
)
def test_every_format_gives_the_same_documents_twice(ending, task, tmp_path):
    path = write(tmp_path / f"r.{ending}", task)
    for options in ({}, {"task": task}):
        reader = read_documents(path, **options)
        assert list(reader) == DOCUMENTS[task]
        assert list(reader) == DOCUMENTS[task]
        assert reader.task == task
        assert reader.name == str(path)


@pytest.mark.parametrize("task", ROWS)
def test_written_jsonl_is_read_back(task, tmp_path):
    write_jsonl(tmp_path / "r.jsonl", DOCUMENTS[task])
    assert list(read_documents(tmp_path / "r.jsonl")) == DOCUMENTS[task]


def test_fields_of_other_names(tmp_path):
    row = {"body": "a", "tags": ["x", 3], "text": "b", "label": "c"}
    write_parquet(tmp_path / "r.parquet", [{**row, "tags": ["x", "3"]}])
    (tmp_path / "r.jsonl").write_bytes(jsonl([row]))
    write_tfrecord(tmp_path / "r.tfrecord", [{**row, "tags": ["x", "3"]}])
    for name in ("r.parquet", "r.jsonl", "r.tfrecord"):
        options = {"text_field": "body", "label_field": "tags", "task": "multi_label"}
        assert list(read_documents(tmp_path / name, **options)) == [Document("a", ("x", "3"))]


def test_without_labels(tmp_path):
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": None}]
    write_parquet(tmp_path / "r.parquet", rows)
    write_parquet(tmp_path / "s.parquet", [{"text": "a"}])
    write_tfrecord(tmp_path / "r.tfrecord", [rows[0], {"text": "b"}])
    for name, documents in (
        ("r.parquet", [Document("a", "x"), Document("b")]),
        ("s.parquet", [Document("a")]),
        ("r.tfrecord", [Document("a", "x"), Document("b")]),
    ):
        assert list(read_documents(tmp_path / name, require_labels=False)) == documents


def test_of_two_kinds_of_target_one_is_chosen(tmp_path):
    (tmp_path / "r.jsonl").write_bytes(jsonl([{"text": "a", "label": "x", "target": 1}]))
    for choice in ({"task": "single_label"}, {"label_field": "label"}):
        assert list(read_documents(tmp_path / "r.jsonl", **choice)) == [Document("a", "x")]
    assert list(read_documents(tmp_path / "r.jsonl", task="regression")) == [Document("a", 1.0)]


class TestShards:
    def test_are_read_in_the_order_of_their_names(self, tmp_path):
        for i in (10, 2, 0):
            name = f"shard-{i:02}.jsonl.gz"
            (tmp_path / name).write_bytes(gzip.compress(jsonl([{"text": f"{i}", "label": "x"}])))
        write_parquet(tmp_path / "shard-11.parquet", [{"text": "11", "label": "x"}])
        reader = read_documents(tmp_path / "shard-*")
        assert list(reader.texts()) == list(reader.texts()) == ["0", "2", "10", "11"]
        training, validation = reader.split(0.5)
        assert sorted([*training.texts(), *validation.texts()]) == ["0", "10", "11", "2"]

    def test_are_found_in_folders(self, tmp_path):
        (tmp_path / "a" / "b").mkdir(parents=True)
        write(tmp_path / "a" / "b" / "r.jsonl", "single_label")
        write(tmp_path / "r.jsonl", "single_label")
        assert list(read_documents(tmp_path / "**" / "*.jsonl")) == TWO * 2

    def test_a_file_whose_name_looks_like_a_pattern_is_that_file(self, tmp_path):
        (tmp_path / "r[1].jsonl").write_bytes(jsonl(ROWS["single_label"]))
        assert list(read_documents(tmp_path / "r[1].jsonl")) == TWO

    @pytest.mark.parametrize(
        ("second", "words"),
        [
            (b"", "s-1.jsonl: empty. Expected one JSON object a line."),
            (b'{"text": 1}', "s-1.jsonl:1: field 'text' must be a string"),
            (jsonl(ROWS["regression"]), "s-1.jsonl: its targets are those of task='regression', "),
        ],
    )
    def test_errors_name_the_file(self, second, words, tmp_path):
        (tmp_path / "s-0.jsonl").write_bytes(jsonl(ROWS["single_label"]))
        (tmp_path / "s-1.jsonl").write_bytes(second)
        with pytest.raises(ValueError, match="s-1") as caught:
            list(read_documents(tmp_path / "s-*.jsonl"))
        assert words in str(caught.value)

    def test_pattern_without_a_match(self, tmp_path):
        (tmp_path / "s-1.jsonl").mkdir()
        with pytest.raises(FileNotFoundError, match=r"No file matches the pattern.*s-\*\.jsonl"):
            read_documents(tmp_path / "s-*.jsonl")

    def test_pattern_with_a_file_of_another_kind(self, tmp_path):
        (tmp_path / "s.txt").write_text("a")
        with pytest.raises(ValueError, match=r"s\.txt: cannot tell what it holds"):
            read_documents(tmp_path / "s.*")


LINES = jsonl([{"text": f"{i} " * 500, "label": "x"} for i in range(400)])

CSV = b"text,label\n" + b"a,x\n" * 9 + b"b"

# name: (file name, content, what the error says)
WRONG_FILES = {
    "gz, truncated": ("r.jsonl.gz", gzip.compress(LINES)[:-2000], "ends in the middle of its comp"),
    "gz, truncated csv": ("r.csv.gz", gzip.compress(CSV)[:-9], "r.csv.gz:11: the file ends in"),
    "gz, wrong magic": (
        "r.jsonl.gz",
        LINES,
        "r.jsonl.gz:1: not gzip data, or damaged, in spite of the ending .gz: Not a gzipped file",
    ),
    "gz, damaged": (
        "r.jsonl.gz",
        gzip.compress(LINES)[:3000] + b"\xff" * 1000 + gzip.compress(LINES)[4000:],
        "not gzip data, or damaged",
    ),
    "gz, empty inside": ("r.jsonl.gz", gzip.compress(b""), "r.jsonl.gz: empty."),
    "gz, empty": ("r.jsonl.gz", b"", "r.jsonl.gz: empty."),
    "zst, truncated": ("r.jsonl.zst", zstd.compress(LINES)[:-9], "ends in the middle of its comp"),
    "zst, wrong magic": ("r.jsonl.zst", LINES, "r.jsonl.zst:1: not Zstandard data, or damaged"),
    "gz, broken line": (
        "r.jsonl.gz",
        gzip.compress(LINES + b"{\n"),
        "r.jsonl.gz:401: invalid JSON",
    ),
    "parquet, wrong magic": (
        "r.parquet",
        LINES,
        "r.parquet: not a Parquet file, or a damaged one: ",
    ),
    "parquet, empty": ("r.parquet", b"", "r.parquet: not a Parquet file, or a damaged one: "),
    "tfrecord, wrong magic": (
        "r.tfrecord",
        LINES,
        "r.tfrecord: record 1: not TFRecord data, or damaged: corrupted record at 0",
    ),
    "tfrecord, empty": ("r.tfrecord", b"", "r.tfrecord: no records."),
    "tfrecord, no gzip": ("r.tfrecord.gz", LINES, "r.tfrecord.gz: record 1: not TFRecord data"),
    "mixed targets": (
        "r.jsonl",
        jsonl([ROWS["multi_label"][0], ROWS["regression"][0]]),
        "r.jsonl:2: no field 'labels'; fields are 'text', 'target'. "
        "All records of a data set must have the same kind of target: 'labels'.",
    ),
    "two kinds of target": (
        "r.jsonl",
        jsonl([{"text": "a", "labels": [], "target": 1}]),
        "r.jsonl:1: fields 'labels' and 'target' are there at once. Say which is meant with task=",
    ),
    "labels that are none": (
        "r.jsonl",
        jsonl([{"text": "a", "labels": "red"}]),
        "r.jsonl:1: field 'labels' must be a list of labels, received a string.",
    ),
    "a blank among labels": (
        "r.jsonl",
        jsonl([{"text": "a", "labels": ["red", ""]}]),
        "r.jsonl:1: field 'labels' must hold strings or numbers, received a blank among them.",
    ),
    "a target that is not a number": (
        "r.jsonl",
        jsonl([{"text": "a", "target": 1}, {"text": "b", "target": "2"}]),
        "r.jsonl:2: field 'target' must be a number, received a string.",
    ),
    "a target that is not finite": (
        "r.jsonl",
        b'{"text": "a", "target": NaN}',
        "r.jsonl:1: field 'target' must be finite, received nan.",
    ),
    "csv, a target that is not a number": (
        "r.csv",
        b"text,target\na,1\nb,dear\n",
        "r.csv:3: field 'target' must be a number, received a string.",
    ),
    "csv, two kinds of target": ("r.csv", b"text,labels,target\na,b,1\n", "are there at once."),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_file_says_where_and_what(case, tmp_path):
    name, content, words = WRONG_FILES[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as caught:
        list(read_documents(tmp_path / name))
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_truncated_file_names_the_line_it_ends_in(tmp_path):
    content = gzip.compress(LINES)
    (tmp_path / "r.jsonl.gz").write_bytes(content[: len(content) // 2])
    reader = iter(read_documents(tmp_path / "r.jsonl.gz"))
    read = 0
    with pytest.raises(ValueError, match="ends in the middle") as caught:
        for _ in reader:
            read += 1
    assert read > 10
    assert f"r.jsonl.gz:{read + 1}: " in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"body": "a", "label": "x"}], "r.parquet: no column 'text'; columns are 'body', 'label'"),
        ([{"text": "a", "stars": "x"}], "r.parquet: no column 'label'; columns are 'text', 'stars"),
        (
            [{"text": "a", "label": "x"}, {"text": None, "label": "x"}],
            "row 2: field 'text' must",
        ),
        ([{"text": b"a", "label": "x"}], "row 1: field 'text' must be a string, received bytes"),
        (
            [{"text": "a", "label": "x"}, {"text": "b", "label": None}],
            "row 2: field 'label' is",
        ),
    ],
)
def test_wrong_columns(rows, words, tmp_path):
    write_parquet(tmp_path / "r.parquet", rows)
    with pytest.raises(ValueError) as caught:
        list(read_documents(tmp_path / "r.parquet"))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"body": "a", "label": "x"}], "record 1: no field 'text'; fields are 'body', 'label'"),
        (
            [{"text": "a", "label": "x"}, {"text": b"\xff", "label": "x"}],
            "record 2: feature",
        ),
        ([{"text": "a", "label": ["x", "y"]}], "record 1: field 'label' must be a string or a num"),
        ([{"text": "a", "target": "x"}], "record 1: field 'target' must be a number"),
    ],
)
def test_wrong_features(rows, words, tmp_path):
    write_tfrecord(tmp_path / "r.tfrecord", rows)
    with pytest.raises(ValueError) as caught:
        list(read_documents(tmp_path / "r.tfrecord"))
    assert words in str(caught.value)


def test_a_parquet_file_without_rows(tmp_path):
    import pyarrow.parquet

    table = pyarrow.table(
        {"text": pyarrow.array([], "string"), "label": pyarrow.array([], "string")}
    )
    pyarrow.parquet.write_table(table, tmp_path / "r.parquet")
    with pytest.raises(ValueError, match=r"r\.parquet: no rows"):
        list(read_documents(tmp_path / "r.parquet"))


def test_an_unknown_task(tmp_path):
    path = write(tmp_path / "r.jsonl", "single_label")
    with pytest.raises(ValueError, match=r"task must be one of 'single_label'.*Received: 'class'"):
        read_documents(path, task="class")
    with pytest.raises(ValueError, match="a directory gives every document one label"):
        read_documents(tmp_path, task="regression")


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("r.parquet", "pyarrow", "parquet"), ("r.jsonl.zst", "backports", "zst")],
)
def test_missing_packages_name_the_extra(name, module, extra, tmp_path, monkeypatch):
    path = write(tmp_path / name, "single_label")
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    with pytest.raises(ImportError, match=rf"pip install keras_combiner\[{extra}\]"):
        list(read_documents(path))


def test_row_groups_are_not_read_whole(tmp_path):
    # A row group of 100 MB, which compresses well.
    rows = [{"text": f"{i} " + 100_000 * "x", "label": "good"} for i in range(1000)]
    # Pages of a few rows: those of text so long are written too large to be read in parts.
    write_parquet(tmp_path / "r.parquet", rows, write_batch_size=16)
    del rows
    before = pyarrow.total_allocated_bytes()
    most = 0
    tracemalloc.start()
    try:
        for _ in read_documents(tmp_path / "r.parquet"):
            most = max(most, pyarrow.total_allocated_bytes() - before)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 30_000_000
    assert peak < 30_000_000


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 5])
@pytest.mark.parametrize("ending", ["tfrecord", "tfrecord.gz"])
def test_a_cut_tfrecord_file_is_refused_wherever_it_was_cut(ending, step, tmp_path):
    rows = [{"text": letter, "label": "x"} for letter in "abc"]
    whole = tmp_path / f"whole.{ending}"
    write_tfrecord(whole, rows, "GZIP" if ending.endswith(".gz") else "")
    content = whole.read_bytes()
    assert len(list(read_documents(whole))) == 3
    length = len(content) // 3
    # At the end of a record, nothing tells that others followed.
    whole_so_far = {0, length, 2 * length} if ending == "tfrecord" else {0}
    cut = tmp_path / f"cut.{ending}"
    for size in set(range(1, len(content), step)) - whole_so_far:
        cut.write_bytes(content[:size])
        with pytest.raises(ValueError, match=f"cut.{ending}: record [1234]: .*(ends|damaged)"):
            list(read_documents(cut))


def test_compressed_tfrecord_files_one_behind_the_other(tmp_path):
    parts = []
    for label in "xy":
        write_tfrecord(tmp_path / "part.tfrecord.gz", [{"text": "a", "label": label}] * 2, "GZIP")
        parts.append((tmp_path / "part.tfrecord.gz").read_bytes())
    both = tmp_path / "both.tfrecord.gz"
    both.write_bytes(b"".join(parts))
    assert [x.label for x in read_documents(both)] == ["x", "x", "y", "y"]
    both.write_bytes(b"".join(parts)[:-1])
    with pytest.raises(ValueError, match="record 5: the file ends in the middle of it"):
        list(read_documents(both))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a-00000-of-00003.jsonl", "a-00002-of-00003.jsonl"], "of 3 shards.*1 are not read: 1"),
        (["a.jsonl-1-of-2", "a.jsonl-2-of-2"], None),
        (["a-0-of-2.jsonl.gz", "a-1-of-2.jsonl.gz"], None),
        (["a-1-of-9.csv"], "of 9 shards.* 8 are not read: 0, 2, 3 and 5 more"),
        (["a-0-of-2.csv", "a-1-of-2.csv", "a-0-of-1.csv"], "shards of 1 and 2 are all read"),
        (["x/a-0-of-1.csv", "y/a-0-of-2.csv"], r"y/a-\*-of-\*.csv: .* not read: 1"),
        (["a-1.csv", "a-3.csv"], None),
    ],
)
def test_shards_that_are_missing_by_the_names_of_the_others(names, words, tmp_path):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    pattern = tmp_path / "**" / "a*"
    if words is None:
        readers.reader_of(pattern, str)
    else:
        with pytest.warns(DataWarning, match=words):
            readers.reader_of(pattern, str)
