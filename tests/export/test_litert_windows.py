"""A .tflite file says that its model reads windows; who runs it answers as `classify` does."""

import json
import runpy
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_combiner import tasks
from keras_combiner.batches.windows import split_into_windows
from keras_combiner.export import export_litert
from keras_combiner.export.tflite_editors.metadata import tokenizer_of
from tests.eagerly import eagerly
from tests.export.test_windows import TEXTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LENGTHS = [40, 16]


@pytest.fixture(scope="module")
def classifier(make_classifier):
    return make_classifier("wordpiece", num_layers=1, long_texts="windows")


@pytest.fixture(scope="module")
def folder(classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("litert_windows")
    with eagerly():
        answers = classifier.classify(TEXTS)
    report = export_litert(
        classifier,
        folder / "model.tflite",
        sequence_lengths=LENGTHS,
        documents=TEXTS,
        labels=[x["label"] for x in answers],
        verbose=False,
    )
    assert report.largest_difference < 1e-5
    # At the longest length every answer is that of `classify`.
    assert report.model_accuracy > 0.5 and report.documents == 2 * len(TEXTS)
    classifier.tokenizer.save_vocabulary(folder / "vocab.txt")
    (folder / "labels.txt").write_text("\n".join(classifier.labels))
    return folder


@pytest.fixture(scope="module")
def on_device():
    return runpy.run_path(str(ROOT / "examples" / "on_device" / "classify.py"))


@pytest.fixture(scope="module")
def in_javascript(folder):
    """What the page's module makes of this file, of numbers of tokens and of probabilities."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("not run: node is not installed")

    def run(sizes, rows):
        done = subprocess.run(
            [node, Path(__file__).with_name("windows_in_javascript.mjs"), folder / "model.tflite"],
            input=json.dumps({"sizes": sizes, "rows": rows}),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_the_example_answers_as_classify_does(
    eager, folder, classifier, on_device, tmp_path, capsys
):
    runner = on_device["Classifier"](folder / "model.tflite")
    wordpiece = on_device["read_wordpiece"](folder / "vocab.txt", runner.metadata)
    expected = classifier.predict(TEXTS, verbose=0)
    for text, row, answer in zip(TEXTS, expected, classifier.classify(TEXTS), strict=True):
        tokens = wordpiece.tokenize(text)
        length = runner.sequence_length_for(len(tokens) + 2)
        windows = [wordpiece.frame(x, length) for x in runner.windows(tokens)]
        assert len(windows) == answer["windows"]
        received = runner.pool([runner(ids) for ids in windows])
        np.testing.assert_allclose(received, row, atol=1e-5)
    expected = runner.windows(tokens * 20)
    runner.metadata["long"] = runner.metadata.pop("long_texts")  # as earlier versions wrote it
    assert runner.windows(tokens * 20) == expected != [tokens * 20]
    (tmp_path / "long.txt").write_text(TEXTS[-2])
    paths = [str(folder / x) for x in ("model.tflite", "vocab.txt", "labels.txt")]
    arguments = ["--model", paths[0], "--vocabulary", paths[1], "--labels", paths[2]]
    assert on_device["main"]([*arguments, str(tmp_path / "long.txt")]) == 0
    windows = classifier.classify(TEXTS[-2:-1])[0]["windows"]
    assert f"(in {windows} windows;" in capsys.readouterr().out


def test_the_file_says_how_long_documents_are_read(folder, classifier, on_device, in_javascript):
    expected = {
        "task": {"name": "single_label"},
        "labels": classifier.labels,
        "long_texts": "windows",
        "sequence_length": 40,
        "sequence_lengths": LENGTHS,
        "tokenizer": tokenizer_of(classifier.tokenizer),
        "overlap": 0.25,
    }
    content = (folder / "model.tflite").read_bytes()
    read_metadata = on_device["read_metadata"]
    assert read_metadata(content) == expected
    assert in_javascript([], [])["metadata"] == expected
    assert len(Interpreter(model_content=content).get_signature_list()) == 3


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_windows_and_pooling_are_those_of_the_package(task, on_device, in_javascript):
    split, pool = (on_device[x] for x in ("split_tokens", "pool"))
    sizes = [[n, room] for room in (1, 2, 5, 22, 62) for n in [*range(4 * room), 999]]
    generator = np.random.default_rng(0)
    rows = generator.random([5, 3], "float32")
    rows[0] = [1, 0, 0]
    if task == "single_label":
        rows /= rows.sum(-1, keepdims=True)
    received = in_javascript(sizes, rows.tolist())
    for (n, room), pairs in zip(sizes, received["windows"], strict=True):
        ids = np.arange(n + 2)
        expected = [x[1:-1].tolist() for x in split_into_windows(ids, room + 2)]
        assert split(ids[1:-1].tolist(), room, 0.25) == expected, (n, room)
        assert [list(range(a + 1, b + 1)) for a, b in pairs] == expected, (n, room)
    for windows in (rows, rows[:1]):
        count = len(windows)
        expected = np.asarray(tasks.get(task).pool(windows, np.array([count])))[0]
        np.testing.assert_allclose(pool(list(windows), task), expected, atol=1e-6)
        pooled = received["pooled"][task][count - 1]
        np.testing.assert_allclose(pooled, expected, atol=1e-6)


def test_a_file_of_shorter_windows_is_refused(classifier, tmp_path):
    with pytest.raises(ValueError, match=r"windows of 40 tokens .* add 40 to .* Received: \[16\]"):
        export_litert(classifier, tmp_path / "model.tflite", sequence_lengths=[16])
    assert not list(tmp_path.iterdir())


def test_a_file_that_takes_text_is_refused(classifier, tmp_path):
    with pytest.raises(ValueError, match=r"long documents in windows.*input_type='token_ids'"):
        export_litert(classifier, tmp_path / "model.tflite", input_type="text")
    assert not list(tmp_path.iterdir())
