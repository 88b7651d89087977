"""Bytes are read as one text, by training, predict and the device alike, or refused."""

import codecs
import gzip
import importlib.util
import io
import json
import pathlib
import sys
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.cli.main import main
from keras_combiner.datasets import read_documents, read_texts, text_encoding
from keras_combiner.datasets.text_encoding import decoded_text, numbered_lines_of

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = "Grüße, 世界 😀\nघर\r\nend"
MARKED = {
    "utf-8": b"",
    "utf-8-sig": b"",
    "utf-16": b"",
    "utf-32": b"",
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
WRONG = {
    "latin-1": ("a\ncafé".encode("latin-1"), ":2: not UTF-8 at byte 5 of the file (0xe9, "),
    "cp1252 quotes": (b"\x93x\x94", ":1: not UTF-8 at byte 0 of the file (0x93, "),
    "utf-16 without a mark": ("ab".encode("utf-16-le"), ":1: a NUL at character 1 of the line"),
    "utf-16 cut": ("ab".encode("utf-16")[:-1], ":1: not UTF-16-LE at byte 4 of the file (0x62, "),
    "half a pair": (
        codecs.BOM_UTF16_BE + "a\nb".encode("utf-16-be") + b"\xd8\x00\0a",
        ":2: not UTF-16-BE at byte 8 of the file",
    ),
    "a NUL": (b"a\nb\0c", ":2: a NUL at character 1 of the line, which no text has. It is binary"),
    "PNG": (b"\x89PNG\r\n\x1a\n", ":1: not UTF-8 at byte 0"),
    "PDF": (b"%PDF-1.4\n(text)", ": a PDF document, and not text. Save its text as UTF-8."),
    "RTF": (b"{\\rtf1\\ansi text}", ": an RTF document, and not text."),
    "PostScript": (b"%!PS-Adobe-3.0\n(text) show", ": a PostScript document, and not text."),
    "Word": (b"PK\x03\x04...", ": a ZIP archive, as documents of Word (.docx) are, and not text."),
}


def device_reader():
    file = ROOT / "examples" / "on_device" / "text_file.py"
    spec = importlib.util.spec_from_file_location("text_file", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.read_document


def give_standard_input(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize("encoding", MARKED)
def test_a_byte_order_mark_says_how_to_read(encoding, tmp_path, monkeypatch):
    def written(name, text):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        content = MARKED[encoding] + text.encode(encoding)
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        return tmp_path / name

    expected = TEXT.replace("\r", "")
    path = written("a/1.txt", TEXT)
    assert [x.text for x in read_texts(path)] == [expected]
    assert [tuple(x) for x in read_documents(tmp_path)] == [(expected, "a")]
    assert device_reader()(str(path)) == expected
    give_standard_input(monkeypatch, path.read_bytes())
    assert device_reader()("-") == expected
    records = "".join(json.dumps({"text": x, "label": "a"}) + "\n" for x in (TEXT, "b"))
    for name in ("r.jsonl", "r.jsonl.gz"):
        assert [x.text for x in read_documents(written(name, records))] == [TEXT, "b"]
    table = f'text,label\r\n"{TEXT}",a\r\nb,b\r\n'
    assert [x.text for x in read_documents(written("r.csv", table))] == [TEXT, "b"]


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_text_is_refused_by_training_and_predict(case, tmp_path, capsys, monkeypatch):
    content, words = WRONG[case]
    path = tmp_path / "a" / "1.txt"
    path.parent.mkdir()
    path.write_bytes(content)
    for reader in (read_documents(tmp_path), read_texts(path)):
        with pytest.raises(ValueError) as caught:
            list(reader)
        assert str(caught.value).startswith(f"{path}{words}")
    model = tmp_path / "model.keras"  # documents are read before the model
    zipfile.ZipFile(model, "w").close()
    give_standard_input(monkeypatch, content)
    for name, shown in ((path, path), ("-", "standard input")):
        assert main(["predict", "--model", str(model), str(name)]) == 1
        assert capsys.readouterr().err.startswith(f"keras-combiner: error: {shown}{words}")
    if case != "Word":
        with pytest.raises(ValueError, match=r"1\.txt: .*plain text in UTF-8"):
            device_reader()(str(path))


def test_predict_takes_no_file_of_records_for_a_document(tmp_path, capsys):
    model, path = tmp_path / "model.keras", tmp_path / "r.jsonl"
    zipfile.ZipFile(model, "w").close()
    path.write_text('{"text": "a"}\n')
    assert main(["predict", "--model", str(model), str(path)]) == 1
    assert f"Classify its records with --data {path}." in capsys.readouterr().err


def test_a_bad_line_spoils_no_other():
    lines = list(numbered_lines_of([b"one\n", b"\xff\n", b"a\0\n", b"four"], "r.jsonl"))
    assert [(i, isinstance(line, str)) for i, line in lines] == [
        (1, True),
        (2, False),
        (3, False),
        (4, True),
    ]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.data())
def test_every_encoding_gives_the_lines_of_the_text(text, data):
    encoding = data.draw(st.sampled_from(sorted(MARKED)))
    expected = text.removeprefix("\ufeff") if encoding == "utf-8" else text
    content = MARKED[encoding] + text.encode(encoding)
    chunks = io.BytesIO(content)  # as a file is read: cut behind every byte 0x0a
    if encoding in ("utf-8", "utf-8-sig"):
        cut = data.draw(st.integers(4, 40))
        chunks = [content[:cut], content[cut:]]
    lines = [line for _, line in numbered_lines_of(chunks, "a.txt")]
    assert "".join(lines) == expected
    if not expected.startswith(("%PDF", "{\\rtf", "%!PS", "PK\x03\x04")):
        assert decoded_text(content, "a.txt") == expected.replace("\r\n", "\n").replace("\r", "\n")
    assert all(line.find("\n") in (-1, len(line) - 1) for line in lines)


def test_a_document_is_not_gone_through_line_by_line(monkeypatch):
    monkeypatch.setattr(text_encoding, "numbered_lines_of", None)
    for encoding, mark in MARKED.items():
        decoded_text(mark + TEXT.encode(encoding), "a.txt")


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "tfrecord"])
def test_utf_16_in_a_field_is_no_text(form, tmp_path):
    path, text = tmp_path / f"r.{form}", "a text".encode("utf-16-le")
    if form == "jsonl":
        path.write_text(json.dumps({"text": text.decode(), "label": "a"}))
    elif form == "csv":
        path.write_bytes(b"text,label\n" + text + b",a\n")
    elif form == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        importlib.import_module("pyarrow.parquet").write_table(
            pyarrow.table({"text": [text.decode()], "label": ["a"]}), path
        )
    else:
        tf = pytest.importorskip("tensorflow")
        features = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
            for name, value in (("text", text), ("label", b"a"))
        }
        with tf.io.TFRecordWriter(str(path)) as writer:
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    with pytest.raises(ValueError, match=r"a NUL at character 1 .*UTF-16"):
        list(read_documents(path))
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps({"text": "a stray\0 one", "label": "a"}))
    assert next(iter(read_documents(path))).text == "a stray\0 one"
