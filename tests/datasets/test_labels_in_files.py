"""One name for a label, whatever file it comes from; and what is not a label is refused."""

import decimal
import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.cli.target_summary import TargetSummary
from keras_combiner.data_warning import DataWarning
from keras_combiner.datasets import jsonl, read_documents, read_texts
from keras_combiner.datasets.label_names import LabelError, alike, is_missing, label_name

pyarrow = pytest.importorskip("pyarrow")

COMPOSED, DECOMPOSED = "M\u00fcll", "Mu\u0308ll"
NAN, INFINITY = float("nan"), float("inf")


def write_jsonl(path, field, values):
    path.write_text("".join(json.dumps({"text": "a", field: x}) + "\n" for x in values))


def write_csv(path, field, values):
    cells = ["|".join(map(str, x)) if isinstance(x, list) else str(x) for x in values]
    path.write_text(f"text,{field}\n" + "".join(f"a,{cell}\n" for cell in cells), encoding="utf-8")


def write_parquet(path, field, values, kind=None, features=None):
    import pyarrow.parquet

    column = pyarrow.array(values, kind)
    table = pyarrow.table({"text": ["a"] * len(values), field: column})
    if features is not None:
        info = {"info": {"features": {"text": {"dtype": "string", "_type": "Value"}, **features}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    pyarrow.parquet.write_table(table, path)


def write_tfrecord(path, field, values):
    import tensorflow as tf

    def feature(value):
        value = value if isinstance(value, list) else [value]
        if isinstance(value[0], str):
            content = tf.train.BytesList(value=[x.encode() for x in value])
            return tf.train.Feature(bytes_list=content)
        if isinstance(value[0], int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=value))
        return tf.train.Feature(float_list=tf.train.FloatList(value=value))

    with tf.io.TFRecordWriter(str(path)) as writer:
        for value in values:
            features = tf.train.Features(feature={"text": feature("a"), field: feature(value)})
            writer.write(tf.train.Example(features=features).SerializeToString())


WRITERS = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
    "tfrecord": write_tfrecord,
}


def labels_of(tmp_path, ending, values, field="label", **options):
    path = tmp_path / f"r.{ending}"
    WRITERS[ending](path, field, values, **options)
    return list(read_documents(path).labels())


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1.0, -2.0, 0.1], ["1", "-2", "0.1"]),
        ([3, 0], ["3", "0"]),
        ([True, False], ["True", "False"]),
        ([COMPOSED, DECOMPOSED], [COMPOSED, COMPOSED]),
    ],
)
def test_a_label_has_one_name(ending, values, names, tmp_path):
    if ending == "tfrecord" and values[0] is True:
        pytest.skip("a tf.train.Example has no booleans")
    assert labels_of(tmp_path, ending, values) == names
    assert labels_of(tmp_path, ending, [values], "labels") == [tuple(names)]


@given(
    st.one_of(
        st.booleans(),
        st.integers(-(10**12), 10**12),
        st.floats(-1e12, 1e12),
        st.text("ab\u0308\u00fc 1.0", min_size=1).filter(str.strip),
    )
)
def test_the_name_is_that_of_python(tmp_path_factory, value):
    tmp_path = tmp_path_factory.mktemp("labels")
    for ending in ("jsonl", "parquet"):
        assert labels_of(tmp_path, ending, [value]) == [label_name(value)]
        assert labels_of(tmp_path, ending, [[value]], "labels") == [(label_name(value),)]
    if not isinstance(value, str):  # a CSV file has numbers by the look of a text
        assert labels_of(tmp_path, "csv", [value]) == [label_name(value)]


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "decimal128(5, 1)"])
def test_widths_of_parquet_are_no_part_of_a_name(kind, tmp_path):
    import numpy as np

    if kind.startswith("float"):
        values, kind = np.array([0.1, 2.0], kind), pyarrow.type_for_alias(kind)
    else:
        values, kind = [decimal.Decimal("0.1"), decimal.Decimal(2)], pyarrow.decimal128(5, 1)
    assert labels_of(tmp_path, "parquet", values, kind=kind) == ["0.1", "2"]
    assert labels_of(tmp_path, "parquet", [values], "labels", kind=pyarrow.list_(kind)) == [
        ("0.1", "2")
    ]


@pytest.mark.parametrize(
    "kind",
    [
        pyarrow.large_string(),
        pyarrow.string_view(),
        pyarrow.binary(),
        pyarrow.dictionary(pyarrow.int8(), pyarrow.string()),
    ],
    ids=str,
)
def test_kinds_of_strings_in_parquet(kind, tmp_path):
    assert labels_of(tmp_path, "parquet", ["good", "bad"], kind=kind) == ["good", "bad"]


def test_categories_of_pandas(tmp_path):
    import pandas

    frame = pandas.DataFrame({"text": ["a", "b"], "label": pandas.Categorical([3, 10])})
    frame.to_parquet(tmp_path / "r.parquet")
    assert list(read_documents(tmp_path / "r.parquet").labels()) == ["3", "10"]


# name: (ending, field, values, what the error says after the place)
NO_LABELS = {
    "json NaN": ("jsonl", "label", ["x", NAN], ":2: field 'label' is NaN. Give the document a"),
    "json null": ("jsonl", "label", ["x", None], ":2: field 'label' is null."),
    "json blank": ("jsonl", "label", ["x", " \ufeff"], ":2: field 'label' is blank."),
    "csv nan": ("csv", "label", ["x", "nan"], ":3: field 'label' is NaN."),
    "csv blank": ("csv", "label", ["x", "  "], ":3: field 'label' is blank."),
    "parquet NaN": ("parquet", "label", [1.0, NAN], ": row 2: field 'label' is NaN."),
    "parquet null": ("parquet", "label", [1.0, None], ": row 2: field 'label' is null."),
    "tfrecord NaN": ("tfrecord", "label", [1.0, NAN], ": record 2: field 'label' is NaN."),
}


@pytest.mark.parametrize("case", NO_LABELS)
def test_a_missing_label_is_refused_with_its_place_or_none(case, tmp_path):
    ending, field, values, words = NO_LABELS[case]
    with pytest.raises(ValueError, match=field) as caught:
        labels_of(tmp_path, ending, values, field)
    path = tmp_path / f"r.{ending}"
    assert str(caught.value).startswith(f"{path}{words}")
    first, second = read_documents(path, require_labels=False).labels()
    assert first is not None and second is None


# name: (ending, field, values, what the error says after the place); whether labels are required
# or not
REFUSED = {
    "json Infinity": ("jsonl", "label", ["x", INFINITY], ":2: field 'label': A label must be fin"),
    "json -Infinity": ("jsonl", "label", ["x", -INFINITY], ":2: field 'label': A label must be"),
    "json NaN in a list": ("jsonl", "labels", [["x"], ["x", NAN]], ":2: field 'labels' must hold"),
    "json blank in a list": ("jsonl", "labels", [["x", " "]], ":1: field 'labels' must hold str"),
    "json Infinity in a list": ("jsonl", "labels", [["x", INFINITY]], ":1: field 'labels': A lab"),
    "json Infinity, a target": ("jsonl", "target", [1, INFINITY], ":2: field 'target' must be fi"),
    "json, an object": ("jsonl", "label", [{"a": 1}], ":1: field 'label' must be a string or a"),
    "csv nan in a list": ("csv", "labels", [["x", "nan"]], ":2: field 'labels' must hold strings"),
    "csv, a target of Python": ("csv", "target", ["1_000"], ":2: field 'target' must be a number"),
    "parquet NaN in a list": ("parquet", "labels", [[1.0, NAN]], ": row 1: field 'labels' must h"),
    "parquet, bytes": ("parquet", "label", [b"\xff"], ": row 1: field 'label': A label in bytes"),
    "an indicator": ("jsonl", "labels", [["x"], [0, 1, 0]], ":2: field 'labels' must hold the la"),
    "an indicator in Parquet": ("parquet", "labels", [[0.0, 1.0, 1.0]], ": row 1: field 'labels'"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("require_labels", [True, False])
def test_what_is_no_label_is_refused(case, require_labels, tmp_path):
    ending, field, values, words = REFUSED[case]
    path = tmp_path / f"r.{ending}"
    WRITERS[ending](path, field, values)
    with pytest.raises(ValueError, match=field) as caught:
        list(read_documents(path, require_labels=require_labels))
    assert str(caught.value).startswith(f"{path}{words}")


def test_what_json_has_no_word_for_is_taken_where_nothing_is_read(tmp_path):
    (tmp_path / "r.jsonl").write_text('{"text": "a", "label": "x", "score": NaN}')
    assert list(read_documents(tmp_path / "r.jsonl").labels()) == ["x"]


def test_a_field_twice(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"text": "a", "label": 1, "text": "a", "n": {"a": 1, "a": 2}}\n')
    assert list(read_documents(path)) == [("a", "1")]
    for second in ('{"text": "a", "label": "x", "label": "y"}', '{"n": 1, "n": true, "text": "a"}'):
        path.write_text('{"text": "a", "label": "x"}\n' + second)
        with pytest.raises(ValueError, match=r"r\.jsonl:2: field '\w+' is there twice, with diff"):
            list(read_documents(path))


class TestHuggingFace:
    """Parquet files whose schema says what the ids of a ClassLabel mean."""

    CLASSES = {"names": ["bad", "so so", "good"], "_type": "ClassLabel"}

    def test_ids_become_names(self, tmp_path):
        features = {"label": self.CLASSES}
        labels = labels_of(tmp_path, "parquet", [2, 0, 1], features=features)
        assert labels == ["good", "bad", "so so"]

    @pytest.mark.parametrize(
        "feature",
        [
            {"feature": CLASSES, "_type": "Sequence"},
            {"feature": CLASSES, "length": -1, "_type": "List"},
            [CLASSES],
        ],
    )
    def test_several_labels(self, feature, tmp_path):
        features = {"labels": feature}
        labels = labels_of(tmp_path, "parquet", [[2, 0], []], "labels", features=features)
        assert labels == [("good", "bad"), ()]

    def test_minus_one_is_no_label(self, tmp_path):
        with pytest.raises(ValueError, match=r"r\.parquet: row 2: field 'label' is null"):
            labels_of(tmp_path, "parquet", [2, -1], features={"label": self.CLASSES})
        reader = read_documents(tmp_path / "r.parquet", require_labels=False)
        assert list(reader.labels()) == ["good", None]

    @pytest.mark.parametrize("label", [3, -2])
    def test_an_id_out_of_range(self, label, tmp_path):
        with pytest.raises(ValueError, match=rf"row 2: field 'label' is {label}, which is the id"):
            labels_of(tmp_path, "parquet", [2, label], features={"label": self.CLASSES})

    @pytest.mark.parametrize(
        "features", [{}, {"label": {"dtype": "int64", "_type": "Value"}}, {"label": None}]
    )
    def test_other_columns_stay_as_they_are(self, features, tmp_path):
        assert labels_of(tmp_path, "parquet", [2, -1], features=features) == ["2", "-1"]

    def test_numbers_to_predict_stay_numbers(self, tmp_path):
        write_parquet(tmp_path / "r.parquet", "label", [2, -1], features={"label": self.CLASSES})
        reader = read_documents(tmp_path / "r.parquet", label_field="label", task="regression")
        assert list(reader.labels()) == [2.0, -1.0]


def test_two_columns_of_one_name_in_parquet(tmp_path):
    import pyarrow.parquet

    table = pyarrow.table([["a"], ["x"], ["y"]], names=["text", "label", "label"])
    pyarrow.parquet.write_table(table, tmp_path / "r.parquet")
    with pytest.raises(ValueError, match=r"r\.parquet: 2 columns named 'label'. Rename one."):
        list(read_documents(tmp_path / "r.parquet"))


@pytest.mark.parametrize(
    ("content", "documents"),
    [
        ('"a", "x"\n', None),
        ('"a", "x, y"\n', None),
        ('"a",  "x\ny"\n', None),
        ("a, x\n", [("a", " x")]),
        ('" ""a"" b",x\n', [(' "a" b', "x")]),
        ('" ""a""", x\n', [(' "a"', " x")]),
    ],
)
def test_spaces_before_quotes_in_csv(content, documents, tmp_path):
    (tmp_path / "r.csv").write_text("text,label\n" + content)
    reader = read_documents(tmp_path / "r.csv")
    if documents is None:
        with pytest.raises(ValueError, match=r"r\.csv:2: a space between ',' and a double quote"):
            list(reader)
    else:
        assert list(reader) == documents


def test_spaces_before_quotes_in_the_first_line(tmp_path):
    (tmp_path / "r.csv").write_text('"text", "label"\n"a", "x"\n')
    with pytest.raises(ValueError, match=r"r\.csv:1: a space between ',' and a double quote"):
        list(read_documents(tmp_path / "r.csv"))


def test_quotes_of_a_text_after_a_space_stay(tmp_path):
    (tmp_path / "r.tsv").write_text('text\tlabel\n "Yes", he said.\tx\n')
    assert list(read_documents(tmp_path / "r.tsv")) == [(' "Yes", he said.', "x")]


def test_blanks_around_the_bars_of_csv(tmp_path):
    (tmp_path / "r.csv").write_text("text,labels\na, x | y |1.0\n")
    assert list(read_documents(tmp_path / "r.csv").labels()) == [("x", "y", "1")]


def test_a_csv_file_goes_on_past_lines_that_are_no_text(tmp_path):
    (tmp_path / "r.csv").write_bytes(b'text,label\n"a\n\xff",x\nb,y\n\0,x\nc,z\n')
    records = list(read_documents(tmp_path / "r.csv").records())
    assert [number for number, _ in records] == [2, 4, 5, 6]
    assert [str(x).partition(": ")[2][:20] for _, x in records if isinstance(x, ValueError)] == [
        "not UTF-8 at byte 14",
        "a NUL at character 0",
    ]


@pytest.mark.parametrize(
    "labels", [[" 1", "1"], ["New York", "New\u00a0York"], ["\ufeffgood", "good"]]
)
def test_labels_that_look_alike_are_refused(labels, tmp_path):
    assert alike(labels)
    write_jsonl(tmp_path / "r.jsonl", "label", labels)
    with pytest.raises(ValueError, match="differ in white space only") as caught:
        TargetSummary.of(read_documents(tmp_path / "r.jsonl"))
    for line, label in enumerate(labels, start=1):
        assert f"{label!r} ({tmp_path / 'r.jsonl'}:{line})" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.jsonl", '{"text": "a", "label": {"x": 1}}\n{"text": "b", "target": NaN}\n'),
        ("r.csv", "text,label,label\na,x,y\nb,,\n"),
    ],
)
def test_without_labels_what_stands_for_one_does_not_matter(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match="label"):
        list(read_documents(tmp_path / name, require_labels=False))
    reader = read_documents(tmp_path / name, with_labels=False)
    assert list(reader) == [("a", None), ("b", None)]


def test_a_file_and_its_compressed_copy_are_pointed_at(tmp_path):
    for name in ("a.jsonl", "a.jsonl.gz", "b.jsonl"):
        (tmp_path / name).write_text("")
    with pytest.warns(UserWarning, match=r"a\.jsonl and .*a\.jsonl\.gz are all read") as caught:
        read_documents(tmp_path / "*.jsonl*")
    assert len(caught) == 1
    read_documents(tmp_path / "*.jsonl")  # without a warning


class TestFolders:
    """Class folders whose names or links make of one thing two."""

    def make(self, folder, files):
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name.rpartition("/")[2])
        return folder

    @pytest.mark.parametrize(
        ("names", "label"), [((DECOMPOSED, COMPOSED), COMPOSED), (("1", "1.0"), "1")]
    )
    def test_one_name_in_two_spellings(self, names, label, tmp_path):
        self.make(tmp_path, [f"{names[0]}/1.txt", f"{names[1]}/2.txt", "other/3.txt"])
        with pytest.warns(UserWarning, match="are read as one class") as caught:
            documents = sorted(read_documents(tmp_path))
        assert documents == [("1.txt", label), ("2.txt", label), ("3.txt", "other")]
        assert len(caught) == 1
        assert all(ascii(name)[1:-1] in str(caught[0].message) for name in names)

    def test_names_that_look_alike(self, tmp_path):
        self.make(tmp_path, ["a/1.txt", "a /2.txt", "b/3.txt"])
        with pytest.warns(UserWarning, match=r"a' and .*a ' are .* look alike"):
            assert {x.label for x in read_documents(tmp_path)} == {"a", "a ", "b"}

    def test_names_that_look_alike_are_classes_to_learn(self, tmp_path):
        from keras_combiner import tasks

        self.make(tmp_path, [f"{x}/{i}.txt" for x in ("a", "a ", "b") for i in range(4)])
        reader = read_documents(tmp_path)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            summary = TargetSummary.of(reader)
            for part in (reader, *reader.split(0.5)):
                assert set(TargetSummary.of(part).labels) <= {"a", "a ", "b"}
                assert part.keeps_alike_labels
            _, names = tasks.get("single_label").learned(reader.labels())
        assert len(caught) == 1
        assert all(repr(str(tmp_path / x)) in str(caught[0].message) for x in ("a", "a "))
        assert names == tasks.get("single_label").learned(summary.names())[1] == ["a", "a ", "b"]

    def test_without_labels_a_name_does_not_matter(self, tmp_path):
        self.make(tmp_path, ["nan/1.txt", "a/2.txt", "a /3.txt", "4.txt"])
        with pytest.raises(ValueError, match="nan: The label is missing"):
            list(read_documents(tmp_path))
        documents = list(read_documents(tmp_path, with_labels=False))
        assert documents[0] == ("4.txt", None)
        assert sorted(documents) == [(f"{i}.txt", None) for i in (1, 2, 3, 4)]

    def test_links_back_are_left_out(self, tmp_path):
        folder = self.make(tmp_path / "d", ["a/1.txt", "a/deep/2.txt", "b/3.txt", ".git/4.txt"])
        (folder / "a" / "up").symlink_to(folder)
        (folder / "a" / "higher").symlink_to(tmp_path)
        (folder / "a" / "deep" / "self").symlink_to(folder / "a" / "deep")
        expected = [("1.txt", "a"), ("2.txt", "a"), ("3.txt", "b")]
        for read in (read_documents, read_texts):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert sorted(x.text for x in read(folder)) == [x for x, _ in expected]
        assert sorted(read_documents(folder)) == expected
        # What leads to documents that are read as others is said, once.
        (folder / "a" / "9.txt").symlink_to(folder / "b" / "3.txt")
        (folder / "a" / "across").symlink_to(folder / "b")
        (folder / "a" / "note").symlink_to(folder / "b" / "3.txt")
        words = r"/a/9\.txt is left out: it is a link to .*/b/3\.txt, which is read elsewhere"
        for read, count in ((read_documents, 2), (read_texts, 3)):
            with pytest.warns(DataWarning, match=words) as said:
                assert sorted(x.text for x in read(folder)) == [x for x, _ in expected]
            assert len(said) == 1
            assert str(said[0].message).endswith(f"elsewhere. {count} links are left out in all.")

    def test_links_elsewhere_are_followed_once(self, tmp_path):
        self.make(tmp_path / "elsewhere", ["1.txt", "deep/2.txt"])
        folder = self.make(tmp_path / "d", ["b/3.txt"])
        (folder / "a").symlink_to(tmp_path / "elsewhere")
        (folder / "b" / "again").symlink_to(tmp_path / "elsewhere" / "deep")
        (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "elsewhere")
        expected = [("1.txt", "a"), ("2.txt", "a"), ("3.txt", "b")]
        with pytest.warns(DataWarning, match="/b/again is left out: .*/deep, which"):
            assert sorted(read_documents(folder)) == expected

    def test_a_class_that_is_a_link_to_another(self, tmp_path):
        self.make(tmp_path, ["b/1.txt"])
        (tmp_path / "a").symlink_to(tmp_path / "b")
        with pytest.warns(UserWarning, match=r"/a is left out: it is a link to .*/b, which is rea"):
            assert list(read_documents(tmp_path)) == [("1.txt", "b")]


def test_a_pattern_takes_every_real_file_once(tmp_path):
    write_jsonl(tmp_path / "s-0.jsonl", "label", ["x"])
    (tmp_path / "s-1.jsonl").symlink_to(tmp_path / "s-0.jsonl")
    assert len(list(read_documents(tmp_path / "s-*.jsonl"))) == 1


def test_scalars_of_pytorch_are_labels():
    torch = pytest.importorskip("torch")
    for value, name in (
        (torch.tensor(1), "1"),
        (torch.tensor(1.0), "1"),
        (torch.tensor(0.1), "0.1"),
        (torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True), "0.5"),
        (torch.tensor(True), "True"),
        (torch.tensor([3, 4])[1], "4"),
        (torch.nn.Parameter(torch.tensor(2.0)), "2"),
    ):
        assert label_name(value) == name and not is_missing(value)
    assert is_missing(torch.tensor(float("nan")))
    with pytest.raises(LabelError, match="must be a string, a number or a boolean"):
        label_name(torch.tensor([1, 2]))


def test_arrays_are_neither_missing_nor_labels():
    for dtype in ("M8[D]", "m8[s]", "f4", "O"):
        for shape in ((0,), (1,), (2,)):
            array = np.zeros(shape, dtype)
            assert not is_missing(array)
            with pytest.raises(LabelError):
                label_name(array)
    assert is_missing(np.datetime64("NaT")) and not is_missing(np.datetime64("2020-01-01"))


@pytest.mark.parametrize("left_out", ["b/notes.md", "b/3.txt.gz", "loose.txt"])
def test_files_of_class_folders_that_are_not_read_are_said(tmp_path, left_out):
    for name in ("a/1.txt", "b/1.txt", left_out):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("rain")
    with pytest.warns(DataWarning, match=f"1 of its files are not read, {tmp_path / left_out}"):
        assert [x.label for x in read_documents(tmp_path)] == ["a", "b"]


def test_two_kinds_of_target_in_a_record_are_refused(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"text": "a", "label": "x", "labels": ["p"], "target": 3}\n')
    with pytest.raises(ValueError, match="'label' and 'labels' and 'target' are there at once"):
        list(read_documents(path))
    assert [x.label for x in read_documents(path, task="single_label")] == ["x"]


def test_what_is_written_is_read_as_the_same_labels(tmp_path):
    for labels, read in (([0, True], ["0", "True"]), ([["x", 1], []], [("x", "1"), ()])):
        jsonl.write_jsonl(tmp_path / "w.jsonl", [("t", label) for label in labels])
        assert [x.label for x in read_documents(tmp_path / "w.jsonl")] == read
