"""`keras-combiner embed`."""

import argparse
import json
import os

import numpy as np
import pyarrow.parquet
import pytest

from keras_combiner.batches.document_encoder import LONG_TEXTS
from keras_combiner.cli import embed
from keras_combiner.cli.embedding_parts import EmbeddingParts
from keras_combiner.cli.main import main
from keras_combiner.models.long_document_embedder import LongDocumentEmbedder
from tests.convert.test_sentence_transformers import write_modules
from tests.models.weather_embedder import make

pytestmark = pytest.mark.usefixtures("eager")
TEXTS = ["rain and wind", "", "a king", "once upon a time there was a king " * 3, "wind"]


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": x}) + "\n" for x in TEXTS))
    return path


@pytest.fixture(scope="module")
def embedder():
    return make(normalize=True)


@pytest.fixture(scope="module")
def saved(embedder, tmp_path_factory):
    path = tmp_path_factory.mktemp("embedder") / "model.keras"
    embedder.save(path)
    return path


@pytest.fixture
def truth(embedder):
    return embedder.predict(TEXTS, verbose=0)


def run(*arguments):
    return main(["embed", *map(str, arguments)])


def test_npy(saved, texts, truth, tmp_path, capsys):
    output = tmp_path / "out" / "texts.npy"
    assert run("--model", saved, "--data", texts, "--output", output) == 0
    received = np.load(output)
    assert received.dtype == "float32"
    np.testing.assert_allclose(received, truth, atol=1e-6)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("5 documents, ") and "vectors of 16 numbers in" in first
    assert second == "1 are longer than 24 tokens, and truncated"
    assert [x.name for x in output.parent.iterdir()] == ["texts.npy"]


def test_parquet_of_a_folder_in_windows(saved, embedder, tmp_path, capsys):
    folder, output = tmp_path / "letters", tmp_path / "letters.parquet"
    folder.mkdir()
    for i, text in enumerate(TEXTS):
        (folder / f"{i}.txt").write_text(text)
    code = run(
        *("--model", saved.parent, "--data", folder, "--output", output),
        *("--long-texts", "windows", "--batch-size", 2),
    )
    assert code == 0
    table = pyarrow.parquet.read_table(output)
    assert table["document"].to_pylist() == [str(folder / f"{i}.txt") for i in range(5)]
    windowed = LongDocumentEmbedder.from_config({**embedder.get_config(), "long_texts": "windows"})
    windowed.set_weights(embedder.get_weights())
    truth = windowed.predict(TEXTS, verbose=0)
    np.testing.assert_allclose(np.stack(table["embedding"].to_numpy()), truth, atol=1e-6)
    assert "1 are longer than 24 tokens, in 10 windows" in capsys.readouterr().out


def test_a_directory_of_weights(tmp_path):
    folder, texts, output = tmp_path / "bert", tmp_path / "texts.txt", tmp_path / "a.npy"
    folder.mkdir()
    write_modules(folder)
    texts.write_text("word1 word2")
    options = ("--sequence-length", 32, "--block-size", 32, "--truncate-dim", 5)
    assert run("--model", folder, "--data", texts, "--output", output, *options) == 0
    embedder = LongDocumentEmbedder.from_pretrained(
        folder, sequence_length=32, block_size=32, truncate_dim=5
    )
    np.testing.assert_allclose(np.load(output), embedder.embed(["word1 word2"], verbose=0))


def test_it_goes_on_where_it_was_stopped(saved, texts, truth, tmp_path, monkeypatch, capsys):
    output = tmp_path / "texts.npy"
    monkeypatch.setattr(embed, "PART", 2)
    embedded, stops, predict = [], [2], LongDocumentEmbedder.predict_with_summary

    def predict_until(self, some, batch_size, **options):
        if len(embedded) in stops:
            raise KeyboardInterrupt
        embedded.append(some)
        return predict(self, some, batch_size, **options)

    monkeypatch.setattr(LongDocumentEmbedder, "predict_with_summary", predict_until)
    assert run("--model", saved, "--data", texts, "--output", output) == 130
    assert not output.exists() and len(embedded) == 2
    # Another text in the second part: it alone is embedded again, with what was missing.
    lines = texts.read_text().splitlines()
    texts.write_text("\n".join([*lines[:3], '{"text": "no king"}', lines[4]]) + "\n")
    stops.clear()
    assert run("--model", saved, "--data", texts, "--output", output) == 0
    assert embedded[2:] == [["a king", "no king"], ["wind"]]
    np.testing.assert_allclose(np.load(output)[[0, 1, 2, 4]], truth[[0, 1, 2, 4]], atol=1e-6)
    assert sorted(x.name for x in tmp_path.iterdir()) == ["texts.jsonl", "texts.npy"]
    # Another model is no reason to keep anything of before.
    stops.append(5)
    assert run("--model", saved, "--data", texts, "--output", output, "--overwrite") == 130
    options = ("--overwrite", "--long-texts", "windows")
    stops.clear()
    assert run("--model", saved, "--data", texts, "--output", output, *options) == 0
    assert len(embedded) == 8


@pytest.mark.parametrize("name", ["model.keras", "0_Transformer/model.safetensors"])
def test_parts_are_of_the_contents_of_a_model(name, tmp_path):
    model, file = tmp_path / "model", tmp_path / "model" / name
    file.parent.mkdir(parents=True)
    if name != "model.keras":
        (model / "modules.json").write_text("[]")
    options = dict.fromkeys(("long_texts", "sequence_length", "block_size", "truncate_dim"))
    arguments = argparse.Namespace(model=str(model), **options)
    documents = [("a.txt", "rain")]
    file.write_text("weights of one")
    time = file.stat().st_mtime_ns
    parts = EmbeddingParts(tmp_path / "a.npy", embed._stamp(arguments))
    part = parts.keep(0, documents, np.ones((1, 2), "float32"), {"documents": 1})
    again = EmbeddingParts(tmp_path / "a.npy", embed._stamp(arguments))
    assert again.find(0, documents) == part
    file.write_text("weights of two")
    os.utime(file, ns=(time, time))
    other = EmbeddingParts(tmp_path / "a.npy", embed._stamp(arguments))
    assert other.find(0, documents) is None


@pytest.mark.parametrize("keep", [0, 1, 100])
def test_a_part_that_cannot_be_read_is_made_again(keep, tmp_path):
    parts, documents = EmbeddingParts(tmp_path / "a.npy", "a model"), [("a.txt", "rain")]
    part = parts.keep(0, documents, np.ones((1, 2), "float32"), {"documents": 1})
    content = part.read_bytes()
    for damaged in (content[:keep], content[:keep].ljust(len(content), b"\0")):
        part.write_bytes(damaged)
        assert parts.find(0, documents) is None
        parts.keep(0, documents, np.ones((1, 2), "float32"), {"documents": 1})
        assert parts.find(0, documents) == part


BAD = {
    "an ending": ("--model {saved} --data t.jsonl --output a.csv", "end in .npy or .parquet"),
    "there already": ("--model {saved} --data t.jsonl --output old.npy", "replaced with --overwr"),
    "among the data": ("--model {saved} --data . --output a.npy", "lies in --data ., of which"),
    "the data": (
        "--model no.keras --data old.npy --output ./old.npy --overwrite",
        "--output old.npy is a file of --data old.npy",
    ),
    "a file of a pattern": (
        "--model no.keras --data *.npy --output old.npy --overwrite",
        "--output old.npy is a file of --data *.npy",
    ),
    "no data": ("--model {saved} --data no.jsonl --output a.npy", "): No such file or directory"),
    "no model": ("--model no.keras --data t.jsonl --output a.npy", "There is no model at no.keras"),
    "a classifier": (
        "--model {model} --data t.jsonl --output a.npy",
        "holds a LongDocumentClassifier, not a LongDocumentEmbedder",
    ),
    "an option of directories": (
        "--model {saved} --data t.jsonl --output a.npy --sequence-length 8",
        "--sequence-length is for a directory of weights",
    ),
    "a bad line": ("--model {saved} --data bad.jsonl --output a.npy", "bad.jsonl:2: "),
}


@pytest.mark.parametrize(("line", "words"), BAD.values(), ids=list(BAD))
def test_bad_input_is_one_line(line, words, saved, model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"txet": "b"}\n')
    (tmp_path / "old.npy").write_text("")
    assert run(*line.format(saved=saved, model=model).split()) == 1
    (message,) = capsys.readouterr().err.splitlines()
    assert words in message
    assert sorted(x.name for x in tmp_path.iterdir()) == ["bad.jsonl", "old.npy", "t.jsonl"]


def test_choices_are_those_of_the_package():
    assert embed.LONG_TEXTS == LONG_TEXTS
