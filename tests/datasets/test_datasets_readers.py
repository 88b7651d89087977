"""Reading documents from JSONL, CSV and class folders: what is accepted, and what is said of it."""

import codecs
import csv
import json
import threading
import tracemalloc

import pytest

from keras_combiner.datasets import Document, DocumentReader, read_documents, write_jsonl

BOM = codecs.BOM_UTF8
TWO = [Document("A fine book.", "good"), Document("Too long.", "bad")]

# name: (file name, content, arguments, documents)
GOOD_FILES = {
    "jsonl": (
        "r.jsonl",
        b'{"text": "A fine book.", "label": "good"}\n{"label": "bad", "text": "Too long."}\n',
        {},
        TWO,
    ),
    "jsonl without a last line end, other fields": (
        "r.ndjson",
        b'{"text": "A fine book.", "label": "good", "n": [1]}\n'
        b'{"text": "Too long.", "label": "bad"}',
        {},
        TWO,
    ),
    "jsonl with a byte order mark, blank lines, Windows line ends": (
        "r.JSONL",
        BOM + b'\r\n{"text": "A fine book.", "label": "good"}\r\n  \r\n'
        b'{"text": "Too long.", "label": "bad"}\r\n\r\n',
        {},
        TWO,
    ),
    "jsonl with other field names": (
        "r.jsonl",
        b'{"review": "A fine book.", "stars": "good", "text": 1}\n'
        b'{"review": "Too long.", "stars": "bad"}\n',
        {"text_field": "review", "label_field": "stars"},
        TWO,
    ),
    "jsonl with numbers and booleans for labels": (
        "r.jsonl",
        b'{"text": "a", "label": 0}\n{"text": "b", "label": -1.5}\n{"text": "c", "label": true}\n',
        {},
        [Document("a", "0"), Document("b", "-1.5"), Document("c", "True")],
    ),
    "jsonl with an empty text": (
        "r.jsonl",
        b'{"text": "", "label": "good"}',
        {},
        [Document("", "good")],
    ),
    "jsonl with separators that are not line ends": (
        "r.jsonl",
        '{"text": "a\u2028b\\n\u0085c", "label": "\u00e9"}'.encode(),
        {},
        [Document("a\u2028b\n\u0085c", "\u00e9")],
    ),
    "jsonl with a surrogate pair": (
        "r.jsonl",
        b'{"text": "\\ud83d\\ude00", "label": "good"}',
        {},
        [Document("\U0001f600", "good")],
    ),
    "jsonl without labels": (
        "r.jsonl",
        b'{"text": "a"}\n{"text": "b", "label": null}\n{"text": "c", "label": ""}\n'
        b'{"text": "d", "label": "good"}\n',
        {"require_labels": False},
        [Document("a"), Document("b"), Document("c"), Document("d", "good")],
    ),
    "csv": ("r.csv", b"text,label\nA fine book.,good\nToo long.,bad\n", {}, TWO),
    "csv with a byte order mark, blank lines, Windows line ends": (
        "r.csv",
        BOM + b"\r\nlabel,n,text\r\n\r\ngood,1,A fine book.\r\nbad,2,Too long.\r\n\r\n",
        {},
        TWO,
    ),
    "csv with quotes": (
        "r.csv",
        b'text,label\n"A ""fine"", long\nbook.",good\n"a\r\n\r\nb","bad"\n',
        {},
        [Document('A "fine", long\nbook.', "good"), Document("a\r\n\r\nb", "bad")],
    ),
    "csv with an empty text": ("r.csv", b"text,label\n,good\n", {}, [Document("", "good")]),
    "csv with other column names": (
        "r.csv",
        b"review,stars,label\nA fine book.,good,\nToo long.,bad,\n",
        {"text_field": "review", "label_field": "stars"},
        TWO,
    ),
    "csv without a label column": (
        "r.csv",
        b"text\nA fine book.\n",
        {"require_labels": False},
        [Document("A fine book.")],
    ),
    "csv with blank labels": (
        "r.csv",
        b"text,label\na,\nb,good\n",
        {"require_labels": False},
        [Document("a"), Document("b", "good")],
    ),
    "csv of a long text": (
        "r.csv",
        b"text,label\n" + 10_000_000 * b"x" + b",good\n",
        {},
        [Document(10_000_000 * "x", "good")],
    ),
    "tsv": ("r.tsv", b"text\tlabel\nA fine book.\tgood\nToo long.\tbad\n", {}, TWO),
    "tsv with commas and a quoted tab": (
        "r.TSV",
        b'text\tlabel\na, b\tgood\n"c\td"\tbad\n',
        {},
        [Document("a, b", "good"), Document("c\td", "bad")],
    ),
}

# name: (file name, content, arguments, what the error says)
WRONG_FILES = {
    "jsonl, label missing": (
        "r.jsonl",
        b'{"text": "a", "label": "good"}\n\n{"text": "b", "stars": 1}\n',
        {},
        "r.jsonl:3: no field 'label'; fields are 'text', 'stars'. Name it with label_field=...",
    ),
    "jsonl, text missing": (
        "r.jsonl",
        b'{"body": "a", "label": "good"}\n',
        {"require_labels": False},
        "r.jsonl:1: no field 'text'; fields are 'body', 'label'. Name it with text_field=...",
    ),
    "jsonl, no fields": ("r.jsonl", b"{}", {}, "r.jsonl:1: no field 'text'; fields are (none)."),
    "jsonl, many long field names": (
        "r.jsonl",
        json.dumps({letter * 60: 1 for letter in "abcdefghijkl"}).encode(),
        {},
        f"fields are '{40 * 'a'}...', '{40 * 'b'}...',",
    ),
    "jsonl, broken": (
        "r.jsonl",
        b'{"text": "a", "label": "good"}\n{"text": "b"\n',
        {},
        "r.jsonl:2: invalid JSON: Expecting ',' delimiter at character 14 of the line. Every line",
    ),
    "jsonl, one object over many lines": (
        "r.jsonl",
        b'{\n  "text": "a"\n}\n',
        {},
        "r.jsonl:1: invalid JSON: Expecting property name enclosed in double quotes",
    ),
    "jsonl, a number of many digits": (
        "r.jsonl",
        b'{"text": "a", "label": ' + 5000 * b"1" + b"}",
        {},
        "r.jsonl:1: unreadable JSON: Exceeds the limit",
    ),
    "jsonl, deeply nested": (
        "r.jsonl",
        200_000 * b"[",
        {},
        "r.jsonl:1: unreadable JSON: maximum recursion depth",
    ),
    "jsonl, an array": (
        "r.jsonl",
        b'["a", "good"]',
        {},
        'r.jsonl:1: expected a JSON object such as {"text": ...}, received an array.',
    ),
    "jsonl, a string": ("r.jsonl", b'"a"', {}, "received a string."),
    "jsonl, text is a number": (
        "r.jsonl",
        b'{"text": 1, "label": "good"}',
        {},
        "r.jsonl:1: field 'text' must be a string, received a number. If the text is in another",
    ),
    "jsonl, text is null": (
        "r.jsonl",
        b'{"text": null, "label": "good"}',
        {},
        "must be a string, received null.",
    ),
    "jsonl, label is null": (
        "r.jsonl",
        b'{"text": "a", "label": null}',
        {},
        "r.jsonl:1: field 'label' is null. Give the document a label or take the record out.",
    ),
    "jsonl, label is blank": (
        "r.jsonl",
        b'{"text": "a", "label": " "}',
        {},
        "r.jsonl:1: field 'label' is blank.",
    ),
    "jsonl, label is an array": (
        "r.jsonl",
        b'{"text": "a", "label": ["good"]}',
        {"require_labels": False},
        "r.jsonl:1: field 'label' must be a string or a number, received an array.",
    ),
    "jsonl, half a surrogate pair": (
        "r.jsonl",
        b'{"text": "ab\\ud83d", "label": "good"}',
        {},
        "r.jsonl:1: field 'text' has half a surrogate pair, '\\ud83d', at character 2,",
    ),
    "jsonl, not UTF-8": (
        "r.jsonl",
        b'{"text": "a", "label": "good"}\n{"text": "\xe9", "label": "good"}\n',
        {},
        "r.jsonl:2: not UTF-8 at byte 41 of the file (0xe9, invalid continuation byte). Save the",
    ),
    "jsonl, UTF-16 without a byte order mark": (
        "r.jsonl",
        '{"text": "a", "label": "good"}'.encode("utf-16-le"),
        {},
        "r.jsonl:1: a NUL at character 1 of the line, which no text has. It is binary, or UTF-16",
    ),
    "csv, the names of the columns again": (
        "r.csv",
        BOM + b"text,label\na,good\n" + BOM + b"text,label\nb,bad\n",
        {},
        "r.csv:3: the names of the columns again, as where files are joined. Take the line out.",
    ),
    "jsonl, empty": ("r.jsonl", b"", {}, "r.jsonl: empty. Expected one JSON object a line."),
    "jsonl, blank": ("r.jsonl", BOM + b"\n \n", {}, "r.jsonl: empty."),
    "csv, empty": (
        "r.csv",
        b"",
        {},
        "r.csv: empty. Expected a first line that names the columns.",
    ),
    "csv, blank": ("r.csv", BOM + b"\n\n", {}, "r.csv: empty."),
    "csv, only the header": ("r.csv", b"text,label\n\n", {}, "r.csv: no records below the line"),
    "csv, no header": (
        "r.csv",
        b"A fine book.,good\n",
        {},
        "r.csv:1: no column 'text'; columns are 'A fine book.', 'good', with ',' as the",
    ),
    "csv, semicolons": (
        "r.csv",
        b"text;label\na;good\n",
        {},
        "r.csv:1: no column 'text'; columns are 'text;label', with ',' as the delimiter. "
        "Name it with text_field=...",
    ),
    "csv, no label column": (
        "r.csv",
        b"text,stars\na,1\n",
        {},
        "r.csv:1: no column 'label'; columns are 'text', 'stars', with ',' as the "
        "delimiter. Name it with label_field=...",
    ),
    "csv, the column twice": (
        "r.csv",
        b"text,label,text\na,good,b\n",
        {},
        "r.csv:1: 2 columns named 'text'. Rename one.",
    ),
    "csv, too many fields": (
        "r.csv",
        b'text,label\n"a\nb",good\n\nc, d,good\n',
        {},
        "r.csv:5: expected 2 fields as in the first line, received 3. A field that holds ','",
    ),
    "csv, too few fields": ("r.csv", b"text,label\na\n", {}, "r.csv:2: expected 2 fields"),
    "csv, too few fields in a record of many lines": (
        "r.csv",
        b'text,label\na,good\n"b\n\nc"\n',
        {},
        "r.csv:3: expected 2 fields as in the first line, received 1.",
    ),
    "csv, quote never closed": (
        "r.csv",
        b'text,label\na,good\n"b,good\nc,bad\n',
        {},
        "r.csv:3: invalid CSV: unexpected end of data. A field that holds a double quote must",
    ),
    "csv, quote not doubled": (
        "r.csv",
        b'text,label\n"a "fine" book",good\n',
        {},
        "r.csv:2: invalid CSV: ',' expected after '\"'.",
    ),
    "csv, blank label": (
        "r.csv",
        b"text,label\na,good\nb, \n",
        {},
        "r.csv:3: field 'label' is blank. Give the document a label or take the record out.",
    ),
    "csv, not UTF-8": (
        "r.csv",
        b'text,label\n"a\n\xff",good\n',
        {},
        "r.csv:3: not UTF-8 at byte 14 of the file (0xff, invalid start byte).",
    ),
}

# name: (files of the directory, require_labels, documents)
GOOD_FOLDERS = {
    "files sorted, classes mixed": (
        {"b/2.txt": b"4", "b/10.txt": b"3", "a/z.txt": b"1", "a/deep/er/a.TXT": b"2"},
        True,
        [Document("1", "a"), Document("3", "b"), Document("2", "a"), Document("4", "b")],
    ),
    "a small class spread among a large one": (
        {"a/1.txt": b"2", "a/2.txt": b"5", **{f"b/{i}.txt": str(i).encode() for i in range(4)}},
        True,
        [
            Document("0", "b"),
            Document("2", "a"),
            Document("1", "b"),
            Document("2", "b"),
            Document("5", "a"),
            Document("3", "b"),
        ],
    ),
    "hidden files and those about the documents left out": (
        {"a/1.txt": b"1", "a/._1.txt": b"\xff", ".git/x.txt": b"", "readme.txt": b"", "R.md": b""},
        True,
        [Document("1", "a")],
    ),
    "byte order mark, line ends, empty": (
        {"a/1.txt": BOM + b"one\r\ntwo\rthree\n", "a/2.txt": b""},
        True,
        [Document("one\ntwo\nthree\n", "a"), Document("", "a")],
    ),
    "without labels": (
        {"a/1.txt": b"1", "b.txt": b"2", "c.md": b""},
        False,
        [Document("2"), Document("1", "a")],
    ),
}

# name: (files of the directory, require_labels, what the error says)
WRONG_FOLDERS = {
    "empty": ({}, True, "d: no class folders. Expected one folder for each class, named for it"),
    "only files": ({"1.txt": b"1"}, True, "d: no class folders."),
    "a class without text files": (
        {"a/1.txt": b"1", "b/1.md": b"2"},
        True,
        "b: no .txt files. Every folder in ",
    ),
    "not UTF-8": (
        {"a/1.txt": BOM + b"one\n\xe9t\xe9"},
        True,
        "1.txt:2: not UTF-8 at byte 7 of the file (0xe9, invalid continuation byte).",
    ),
    "nothing at all": ({"1.md": b"1"}, False, "d: no .txt files and no folders with .txt files."),
}


def make_file(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def make_folder(folder, files):
    (folder / "d").mkdir()
    for name, content in files.items():
        make_file(folder / "d", name, content)
    return folder / "d"


def numbered(folder, count):
    path = folder / "numbered.jsonl"
    write_jsonl(path, [(str(index), f"class {index * 4 // count}") for index in range(count)])
    return read_documents(path)


@pytest.mark.parametrize("case", GOOD_FILES)
def test_file_gives_the_same_documents_twice(case, tmp_path):
    name, content, arguments, documents = GOOD_FILES[case]
    reader = read_documents(make_file(tmp_path, name, content), **arguments)
    assert isinstance(reader, DocumentReader)
    assert list(reader) == documents
    assert list(reader) == documents
    assert all(type(document) is Document for document in reader)


@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_file_says_where_and_what_to_do(case, tmp_path):
    name, content, arguments, words = WRONG_FILES[case]
    path = make_file(tmp_path, name, content)
    reader = read_documents(path, **arguments)
    with pytest.raises(ValueError) as caught:
        list(reader)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", GOOD_FOLDERS)
def test_folder_gives_the_same_documents_twice(case, tmp_path):
    files, require_labels, documents = GOOD_FOLDERS[case]
    reader = read_documents(make_folder(tmp_path, files), require_labels=require_labels)
    assert list(reader) == documents
    assert list(reader) == documents


@pytest.mark.parametrize("case", WRONG_FOLDERS)
def test_wrong_folder_says_where_and_what_to_do(case, tmp_path):
    files, require_labels, words = WRONG_FOLDERS[case]
    reader = read_documents(make_folder(tmp_path, files), require_labels=require_labels)
    with pytest.raises(ValueError) as caught:
        list(reader)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "d"))


@pytest.mark.parametrize("name", ["r.json", "r.txt", "r.txt.gz", "r.parquet.gz", "r"])
def test_other_endings_are_refused_with_those_accepted(name, tmp_path):
    path = make_file(tmp_path, name, b"")
    endings = r"\.jsonl or \.ndjson .*, \.csv, \.tsv .*\.parquet.*directory"
    with pytest.raises(ValueError, match=endings):
        read_documents(path)


def test_missing_path(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"absent\.jsonl"):
        read_documents(str(tmp_path / "absent.jsonl"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        read_documents("absent")
    assert f"absent (in {tmp_path})" in str(caught.value)


@pytest.mark.parametrize("name", ["r.jsonl", "r.csv"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"text_field": "label"}, "must differ. Received 'label' for both"),
        ({"text_field": ""}, "text_field must be the name of a field. Received: ''"),
        ({"label_field": 3}, "label_field must be the name of a field. Received: 3"),
    ],
)
def test_wrong_field_names(name, arguments, words, tmp_path):
    path = make_file(tmp_path, name, b"")
    with pytest.raises(ValueError, match=words):
        read_documents(path, **arguments)


def test_texts_and_labels_can_be_read_again(tmp_path):
    reader = read_documents(make_file(tmp_path, *GOOD_FILES["csv"][:2]))
    for column, values in ((reader.texts(), 0), (reader.labels(), 1)):
        assert list(column) == [document[values] for document in TWO]
        assert list(column) == [document[values] for document in TWO]


def test_two_loops_at_once_do_not_disturb_each_other(tmp_path):
    reader = read_documents(make_file(tmp_path, *GOOD_FILES["csv"][:2]))
    assert list(zip(reader, reader, strict=True)) == [(each, each) for each in TWO]


def test_csv_leaves_the_field_size_limit_of_the_process_alone(tmp_path):
    path = make_file(tmp_path, "r.csv", b"text,label\n" + 200_000 * b"x" + b",good\n")
    before = csv.field_size_limit()
    for _ in read_documents(path):
        assert csv.field_size_limit() == before
    threads = [threading.Thread(target=list, args=[read_documents(path)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.25, 1 / 3, 0.4, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("seed", [0, 1])
def test_split_is_disjoint_covers_all_and_gives_every_class_its_share(fraction, seed, tmp_path):
    reader = numbered(tmp_path, 400)  # sorted by class
    train, validation = reader.split(fraction, seed=seed)
    kept, held_out = list(train), list(validation)
    assert sorted(kept + held_out) == sorted(reader)
    assert abs(len(held_out) - 400 * fraction) < 1
    for label in set(reader.labels()):
        assert abs(sum(each.label == label for each in held_out) - 100 * fraction) < 2
    assert list(train) == kept
    assert list(validation) == held_out
    assert list(reader.split(fraction, seed=seed)[1]) == held_out


def test_split_never_changes(tmp_path):
    reader = numbered(tmp_path, 100)
    texts = [list(reader.split(0.1, seed=seed)[1].texts()) for seed in (0, 1)]
    assert [" ".join(each) for each in texts] == [
        "5 14 27 38 40 54 60 74 82 92",
        "1 19 29 35 47 57 61 73 83 97",
    ]


def test_split_of_a_split(tmp_path):
    rest, test = numbered(tmp_path, 100).split(0.2)
    train, validation = rest.split(0.25)
    parts = [list(part.texts()) for part in (train, validation, test)]
    assert [len(part) for part in parts] == [60, 20, 20]
    assert len(set().union(*parts)) == 100


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), "0.1", None, True])
def test_wrong_validation_fraction(fraction, tmp_path):
    with pytest.raises(ValueError, match=r"validation_fraction must .* Received: .*reader itself"):
        numbered(tmp_path, 4).split(fraction)


def test_wrong_seed(tmp_path):
    with pytest.raises(ValueError, match=r"seed must be an int. Received: 0\.5"):
        numbered(tmp_path, 4).split(0.5, seed=0.5)


def test_error_in_a_part_names_the_line_of_the_whole_file(tmp_path):
    path = make_file(tmp_path, *WRONG_FILES["jsonl, label missing"][:2])
    for part in read_documents(path).split(0.5):
        with pytest.raises(ValueError, match=r"r\.jsonl:3: no field 'label'"):
            list(part)


def test_repr_names_the_file(tmp_path):
    reader = numbered(tmp_path, 4)
    assert repr(reader) == f"JsonlReader({str(tmp_path / 'numbered.jsonl')!r})"
    assert repr(reader) in repr(reader.split(0.5)[1])


@pytest.mark.parametrize("name", ["large.jsonl", "large.csv"])
def test_memory_stays_at_one_document(name, tmp_path):
    text = 100_000 * "x"
    if name.endswith("jsonl"):
        header, record = "", json.dumps({"text": text, "label": "good"}) + "\n"
    else:
        header, record = "text,label\n", f"{text},good\n"
    with open(tmp_path / name, "w") as file:
        file.write(header)
        for _ in range(2000):
            file.write(record)
    assert (tmp_path / name).stat().st_size > 200_000_000

    _, validation = read_documents(tmp_path / name).split(0.5)
    tracemalloc.start()
    try:
        assert sum(len(text) for text in validation.texts()) == 100_000_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000


def test_write_jsonl_is_read_back(tmp_path):
    documents = [*TWO, Document("line\nend \u2028 \u00e9", "x"), Document("", None)]
    path = tmp_path / "r.jsonl"
    assert write_jsonl(path, iter(documents)) == 4
    assert list(read_documents(path, require_labels=False)) == documents
    assert list(tmp_path.iterdir()) == [path]


def test_write_jsonl_that_fails_leaves_what_was_there(tmp_path):
    path = make_file(tmp_path, "r.jsonl", b"before")

    def failing():
        yield TWO[0]
        raise RuntimeError("out of documents")

    with pytest.raises(RuntimeError, match="out of documents"):
        write_jsonl(path, failing())
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
