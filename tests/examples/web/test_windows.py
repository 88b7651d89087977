"""The page reads long documents as the file says: in windows, all of them, or cut."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from keras_combiner import tasks
from keras_combiner.batches.windows import split_into_windows
from keras_combiner.export.tflite_editors.metadata import add_metadata, tokenizer_of
from keras_combiner.text import BertTokenizer, ByteTokenizer, WordPieceTokenizer
from tests.examples.web.conftest import MODEL, WEB, program
from tests.export.litert_graph import empty_model

LENGTH = 12
TEXT = "the state of the union, and of war and peace " * 7
# What a .tflite file would compute; LiteRT.js itself runs in browsers only.
STAND_IN = """
export class Tensor {
  constructor(ids) { this.ids = ids; }
  delete() {}
}
export async function loadLiteRt() {}
export async function loadAndCompile() {
  return {
    signatures: {},
    getInputDetails: () => [{ dtype: "int32", shape: [1, LENGTH] }],
    getOutputDetails: () => [{ shape: [1, 2] }],
    run: async ([{ ids }]) => {
      const share = (ids.reduce((sum, id, i) => sum + id * (i + 1), 0) % 97) / 100 + 0.01;
      const row = Float32Array.of(share, 1 - share);
      return [{ toTypedArray: () => row, delete() {} }];
    },
  };
}
""".replace("LENGTH", str(LENGTH))


def run(ids):
    share = int((ids * np.arange(1, len(ids) + 1)).sum()) % 97 / 100 + 0.01
    return [share, 1 - share]


@pytest.fixture
def classify(tmp_path):
    """Classifies with the page's modules, of a file whose metadata is what it is given."""
    node = program("node")
    for file in WEB.glob("*.js"):
        shutil.copy(file, tmp_path)
    core = tmp_path / "node_modules" / "@litertjs" / "core"
    core.mkdir(parents=True)
    (core / "package.json").write_text('{"type": "module", "main": "index.js"}')
    (core / "index.js").write_text(STAND_IN)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "model").mkdir()
    shutil.copy(MODEL / "vocab.txt", tmp_path / "model")
    (tmp_path / "model" / "labels.txt").write_text("a\nb\n")

    def classify(metadata, parts=(), text=TEXT, files=()):
        for name, tokens in dict(files).items():
            (tmp_path / "model" / name).write_text("".join(f"{x}\n" for x in tokens), "utf-8")
        content = empty_model()  # as of an earlier export
        if metadata is not None:
            content = add_metadata(content, metadata)
        (tmp_path / "model" / "model.tflite").write_bytes(content)
        done = subprocess.run(
            [node, Path(__file__).with_name("classify_in_node.mjs")],
            input=json.dumps({"folder": str(tmp_path), "text": text, "parts": list(parts)}),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return classify


def padded(windows):
    return np.stack([np.pad(x, (0, LENGTH - len(x))) for x in windows])


@pytest.mark.parametrize("name", ["long_texts", "long"])  # the second in earlier versions
def test_windows(name, classify):
    ids = WordPieceTokenizer(MODEL / "vocab.txt").encode([TEXT])[0].numpy()
    parts = [{"first": 0, "end": 5}, {"first": 20, "end": 41}, {"first": 60, "end": len(ids) - 2}]
    metadata = {name: "windows", "overlap": 0.25, "task": {"name": "single_label"}}
    answer = classify(metadata, parts)
    pool, windows = tasks.get("single_label").pool, split_into_windows(ids, LENGTH)
    count = np.array([len(windows)])

    def pooled(ids):
        rows = np.array([run(x) for x in padded(split_into_windows(ids, LENGTH))], "float32")
        return np.asarray(pool(rows, count))[0]

    assert answer["readsWindows"] and len(windows) > 5
    assert answer["windows"] == padded(windows).tolist()
    assert answer["numRead"] == answer["numTokens"] == len(ids) - 2
    np.testing.assert_allclose(answer["probabilities"], pooled(ids), atol=1e-6)
    for part, probability in zip(parts, answer["without"], strict=True):
        covered = ids.copy()
        covered[part["first"] + 1 : part["end"] + 1] = 0
        assert probability == pytest.approx(pooled(covered)[answer["best"]], abs=1e-6)


@pytest.mark.parametrize(
    "metadata", [None, {"long_texts": "truncate", "task": {"name": "single_label"}}]
)
def test_cut(metadata, classify):
    ids = WordPieceTokenizer(MODEL / "vocab.txt").encode([TEXT], LENGTH)[0].numpy()
    answer = classify(metadata, [{"first": 2, "end": 4}])
    assert answer["windows"] == [ids.tolist()] and not answer["readsWindows"]
    assert answer["numRead"] == LENGTH - 2 < answer["numTokens"]
    np.testing.assert_allclose(answer["probabilities"], run(ids), atol=1e-6)
    ids[3:5] = 0
    assert answer["without"] == [pytest.approx(run(ids)[answer["best"]], abs=1e-6)]


# Odd tokens, as BERT's: folding would change them, though case is folded.
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "world", "²", "½", "…", "Hello"]


@pytest.mark.parametrize("kind", [WordPieceTokenizer, BertTokenizer])
@pytest.mark.parametrize("lowercase", [True, False])
def test_texts_are_read_as_the_file_says(classify, kind, lowercase):
    vocabulary = VOCABULARY[: None if lowercase else -1]  # no capital tells either
    tokenizer, text = kind(vocabulary, lowercase), "Hello WORLD world ½ …"
    answer = classify(
        {"tokenizer": tokenizer_of(tokenizer)}, text=text, files={"vocab.txt": vocabulary}
    )
    assert answer["windows"] == tokenizer([text], LENGTH).numpy().tolist()


def test_what_the_file_says_otherwise_is_refused(classify):
    known = tokenizer_of(BertTokenizer(VOCABULARY))
    new_rule = {**known, "config": {**known["config"], "split_digits": True}}
    swapped = [*VOCABULARY[:4], *reversed(VOCABULARY[4:])]
    for words, metadata, vocabulary in [
        (
            "are those of ByteTokenizer. Run the",
            {"tokenizer": tokenizer_of(ByteTokenizer())},
            VOCABULARY,
        ),
        ("rules that this page does not know: split_digits", {"tokenizer": new_rule}, VOCABULARY),
        ("not the model's vocabulary", {"tokenizer": known}, swapped),
        ('label 1 is "a", and the model\'s is "b"', {"labels": ["b", "a"]}, VOCABULARY),
    ]:
        with pytest.raises(AssertionError) as error:
            classify(metadata, files={"vocab.txt": vocabulary})
        assert words in str(error.value)
