import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.export import ExportReport, export_saved_model, saved_model
from keras_combiner.export.checked_export import sample_documents
from keras_combiner.models import TokenEvidence

HARD_TEXTS = ["", "it will rain", "rain \U0001f327 naïve 漢字", "king " * 5000, "\x00", "zebra?!"]
HARD_BYTES = [text.encode() for text in HARD_TEXTS]
INVALID_UTF8 = [b"rain \xff\xfe king", b"\xc3", b"\xed\xa0\x80"]


@pytest.fixture(scope="module")
def exported(saved_model_of_classifier):
    return saved_model_of_classifier


@pytest.fixture(scope="module")
def served(exported):
    return tf.saved_model.load(str(exported[0]))


def test_report(exported, documents):
    path, report = exported
    assert isinstance(report, ExportReport)
    assert report.path == str(path)
    assert report.documents == len(documents)
    assert report.largest_difference < 1e-5
    assert report.agreement == 1.0
    assert report.size == sum(x.stat().st_size for x in path.rglob("*") if x.is_file()) > 0
    assert "| same class | 100.0% |" in str(report)


def test_nothing_but_the_model_is_written(exported):
    path, _ = exported
    assert [x.name for x in path.parent.iterdir()] == ["1"]
    assert (path / "saved_model.pb").is_file()


def test_signatures(served):
    assert set(served.signatures) == {"serving_default", "serving_token_ids", "serving_scores"}
    texts, ids = (served.signatures[f"serving_{name}"] for name in ("default", "token_ids"))
    _, inputs = texts.structured_input_signature
    assert {k: (v.dtype, v.shape.as_list()) for k, v in inputs.items()} == {
        "text": (tf.string, [None])
    }
    outputs = {k: (v.dtype, v.shape.as_list()) for k, v in texts.structured_outputs.items()}
    assert outputs["probabilities"] == (tf.float32, [None, 3])
    assert outputs["label"][0] == tf.string
    assert outputs["tokens"] == (tf.int32, [None])
    assert outputs["truncated"] == (tf.bool, [None])
    assert len(outputs) == 4
    _, inputs = ids.structured_input_signature
    assert {k: (v.dtype, v.shape.as_list()) for k, v in inputs.items()} == {
        "token_ids": (tf.int32, [None, None])
    }
    assert set(ids.structured_outputs) == {"probabilities"}
    scores = served.signatures["serving_scores"]
    assert scores.structured_input_signature == texts.structured_input_signature
    outputs = {k: (v.dtype, v.shape.rank) for k, v in scores.structured_outputs.items()}
    assert outputs == {
        "probabilities": (tf.float32, 2),
        "label": (tf.string, 1),
        "tokens": (tf.int32, 1),
        "truncated": (tf.bool, 1),
        "token_ids": (tf.int32, 2),
        "token_starts": (tf.int32, 2),
        "token_ends": (tf.int32, 2),
        "token_weights": (tf.float32, 2),
    }


@pytest.mark.parametrize("batch", [HARD_BYTES, INVALID_UTF8], ids=["hard", "invalid UTF-8"])
def test_texts_get_the_models_probabilities(served, classifier, batch):
    expected = classifier.predict(batch, verbose=0)
    assert len(np.unique(expected.round(4)[:, 0])) > 1
    results = served.signatures["serving_default"](text=tf.constant(batch))
    np.testing.assert_allclose(results["probabilities"], expected, atol=1e-5)
    labels = [x.decode() for x in results["label"].numpy()]
    assert labels == [classifier.labels[i] for i in expected.argmax(-1)]


def test_a_text_is_answered_alike_alone_and_in_a_batch(served):
    serve = served.signatures["serving_default"]
    together = serve(text=tf.constant(HARD_BYTES))["probabilities"].numpy()
    for text, row in zip(HARD_BYTES, together, strict=True):
        alone = serve(text=tf.constant([text]))["probabilities"].numpy()[0]
        np.testing.assert_allclose(alone, row, atol=1e-5)


def test_token_ids_get_the_models_probabilities(served, classifier):
    ids = classifier.tokenizer(HARD_BYTES, 40)
    expected = classifier.predict(HARD_BYTES, verbose=0)
    serve = served.signatures["serving_token_ids"]
    for padded in (ids, ids[:, :30], tf.pad(ids, [(0, 0), (0, 25)])):
        if padded.shape[1] == 30:
            expected_here = classifier.predict(padded.numpy(), verbose=0)
        else:  # what goes beyond sequence_length is cut
            expected_here = expected
        received = serve(token_ids=padded)["probabilities"]
        np.testing.assert_allclose(received, expected_here, atol=1e-5)


@pytest.mark.parametrize("batch", [HARD_BYTES, INVALID_UTF8], ids=["hard", "invalid UTF-8"])
def test_scores_come_with_the_same_answer(served, classifier, batch):
    answer = served.signatures["serving_default"](text=tf.constant(batch))
    scores = served.signatures["serving_scores"](text=tf.constant(batch))
    np.testing.assert_allclose(scores["probabilities"], answer["probabilities"], atol=1e-6)
    assert scores["label"].numpy().tolist() == answer["label"].numpy().tolist()
    token_ids, starts, ends = classifier.tokenizer.encode_with_offsets(batch, 40)
    for name, rows in (("ids", token_ids), ("starts", starts), ("ends", ends)):
        np.testing.assert_array_equal(scores[f"token_{name}"], rows.to_tensor())
    _, weights = TokenEvidence(classifier)(token_ids.to_tensor())
    np.testing.assert_allclose(scores["token_weights"], weights, atol=1e-5)
    is_padding = scores["token_ids"].numpy() == 0
    assert not scores["token_weights"].numpy()[is_padding].any()
    assert scores["token_weights"].numpy()[~is_padding].all()


@pytest.mark.parametrize("signature", ["serving_default", "serving_scores"])
def test_tells_how_much_was_read(served, classifier, signature):
    # Each "king" is a token; two frame the text, of which the model reads 40.
    lengths = [0, 1, 37, 38, 39, 40, 1000]
    texts = [*("king " * n for n in lengths), *HARD_TEXTS, *INVALID_UTF8, "㍿" * 30]
    received = served.signatures[signature](text=tf.constant(texts))
    assert received["tokens"].numpy().tolist()[:7] == [2, 3, 39, 40, 40, 40, 40]
    assert received["truncated"].numpy().tolist()[:7] == [False] * 4 + [True] * 3
    expected = classifier.classify(texts)
    for name in ("tokens", "truncated"):
        assert received[name].numpy().tolist() == [x[name] for x in expected]


@pytest.mark.parametrize("name", ["classifier", "byte_classifier"])
def test_a_text_is_made_into_ids_once_and_cut_as_the_tokenizer_cuts(name, request, monkeypatch):
    model = request.getfixturevalue(name)
    tokenizer, limit, calls = model.tokenizer, model.sequence_length, []
    texts = tf.constant(["king " * n + "é" * n for n in (0, 1, *range(limit // 7, limit))])
    expected = [tokenizer.encode(texts, limit), *tokenizer.encode_with_offsets(texts, limit)]
    reads = saved_model._Truncated(model)
    encoded = tokenizer.encode_with_offsets(texts, limit + 1)
    monkeypatch.setattr(tokenizer, "encode", lambda *_: calls.append("encode") or encoded[0])
    monkeypatch.setattr(
        tokenizer, "encode_with_offsets", lambda *_: calls.append("offsets") or encoded
    )
    read = []
    monkeypatch.setattr(reads, "_padded", lambda rows: read.append(rows) or rows.to_tensor())
    answers = reads.text(texts)[1], reads.scores(texts)[1]
    assert calls == ["encode", "offsets"]
    for rows, others in zip(read, expected, strict=True):
        assert rows.to_list() == others.to_list()
    is_long = (encoded[0].row_lengths() > limit).numpy()
    assert is_long.any() and not is_long.all()
    for reading in answers:
        np.testing.assert_array_equal(reading["truncated"], is_long)
        np.testing.assert_array_equal(reading["tokens"], expected[0].row_lengths())


def test_scores_point_into_the_text(served):
    text = "It will RAIN, Näher!"
    scores = served.signatures["serving_scores"](text=tf.constant([text]))
    spans = zip(scores["token_starts"].numpy()[0], scores["token_ends"].numpy()[0], strict=True)
    pieces = [text.encode()[start:end].decode() for start, end in spans]
    assert "".join(pieces) == text.replace(" ", "")


def test_an_empty_batch_of_texts_gets_an_empty_answer(served):
    for signature in ("serving_default", "serving_scores"):
        results = served.signatures[signature](text=tf.constant([], tf.string))
        assert results["probabilities"].shape == (0, 3)
        assert results["label"].shape == (0,)
        assert {x.shape[0] for x in results.values()} == {0}


@pytest.mark.parametrize("length", [0, 1, 8, 40])
def test_an_empty_batch_of_token_ids_gets_an_empty_answer(served, length):
    serve = served.signatures["serving_token_ids"]
    assert serve(token_ids=tf.zeros([0, length], tf.int32))["probabilities"].shape == (0, 3)


def test_rows_of_padding_are_answered(served):
    serve = served.signatures["serving_token_ids"]
    results = serve(token_ids=tf.zeros([2, 9], tf.int32))["probabilities"].numpy()
    assert np.isfinite(results).all()
    np.testing.assert_allclose(results.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("unknown", [-1, 10_000, 2**31 - 1])
def test_ids_that_there_are_not_count_as_padding(served, unknown):
    serve = served.signatures["serving_token_ids"]
    ids = np.array([[2, 5, 6, unknown, 7, 3]], "int32")
    padding = np.where(ids == unknown, 0, ids).astype("int32")
    np.testing.assert_array_equal(
        serve(token_ids=tf.constant(ids))["probabilities"],
        serve(token_ids=tf.constant(padding))["probabilities"],
    )


def test_requests_that_tf_serving_puts_into_one_batch_get_their_own_answers(served, classifier):
    # It makes them equally long with the first id of each.
    serve = served.signatures["serving_token_ids"]
    short, long = (classifier.tokenizer.encode([x], 40)[0] for x in ("rain", "king " * 30))
    padded = tf.concat([short, tf.fill([len(long) - len(short)], short[0])], 0)
    together = serve(token_ids=tf.stack([padded, long]))["probabilities"].numpy()
    for ids, row in zip((short, long), together, strict=True):
        alone = serve(token_ids=ids[tf.newaxis])["probabilities"].numpy()[0]
        np.testing.assert_allclose(alone, row, atol=1e-5)


@pytest.fixture(scope="module")
def model_of_one_length(make_classifier):
    return make_classifier("bytes", num_layers=1, static_length=True)


@pytest.fixture(scope="module")
def overwritten(model_of_one_length, exported, tmp_path_factory):
    """Path of an export of `model_of_one_length` that took the place of another."""
    path = tmp_path_factory.mktemp("overwritten") / "1"
    shutil.copytree(exported[0], path)
    (path / "left over").write_text("x")
    with pytest.MonkeyPatch.context() as monkeypatch:
        # Without warm-up requests an export does without the extra for them.
        monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
        # Half of a pair of surrogates does not stop an export either.
        report = model_of_one_length.export_saved_model(
            path, documents=["rain \ud83c", "a"], overwrite=True, verbose=False
        )
    assert report.largest_difference < 1e-5
    return path


def test_overwrites_when_asked(overwritten, exported):
    before = (exported[0] / "saved_model.pb").read_bytes()
    assert (overwritten / "saved_model.pb").read_bytes() != before
    assert not (overwritten / "left over").exists()
    assert not (overwritten / "assets.extra").exists()
    assert [x.name for x in overwritten.parent.iterdir()] == ["1"]


def test_a_model_of_one_length_takes_token_ids_of_any(model_of_one_length, overwritten):
    model = model_of_one_length
    signatures = tf.saved_model.load(str(overwritten)).signatures
    expected = model.predict(HARD_BYTES, verbose=0)
    for name in ("serving_default", "serving_scores"):
        received = signatures[name](text=tf.constant(HARD_BYTES))["probabilities"]
        np.testing.assert_allclose(received, expected, atol=1e-5)
    serve = signatures["serving_token_ids"]
    ids = model.tokenizer(HARD_BYTES, 40)
    for padded in (ids, tf.pad(ids, [(0, 0), (0, 9)])):
        received = serve(token_ids=padded)["probabilities"]
        np.testing.assert_allclose(received, expected, atol=1e-5)
    short = serve(token_ids=model.tokenizer(HARD_BYTES[:2], 20))["probabilities"]
    np.testing.assert_allclose(short, expected[:2], atol=1e-5)
    assert serve(token_ids=tf.zeros([0, 7], tf.int32))["probabilities"].shape == (0, 3)


SERVER = """
import glob, importlib.util, json, os, sys
sys.modules["keras_combiner"] = None
BLOCK
import tensorflow as tf
LOAD
model = tf.saved_model.load(sys.argv[1])
batch = [bytes.fromhex(x) for x in json.loads(sys.argv[2])]
results = model.signatures["serving_default"](text=tf.constant(batch))
labels = [x.decode() for x in results["label"].numpy()]
print("RESULT" + json.dumps([results["probabilities"].numpy().tolist(), labels]))
"""
NO_KERAS = "sys.modules.update(keras=None, tf_keras=None)"
# The Python part of tensorflow-text imports tf.keras itself; servers load its ops alone.
OPS_ALONE = """
folder = importlib.util.find_spec("tensorflow_text").submodule_search_locations[0]
for name in glob.glob(os.path.join(folder, "python", "ops", "*.so")):
    tf.load_op_library(name)
"""


@pytest.mark.parametrize(
    ("tokenizer", "block", "load"),
    [
        pytest.param("wordpiece", "", "import tensorflow_text", marks=pytest.mark.slow),
        ("wordpiece", NO_KERAS, OPS_ALONE),
        pytest.param(
            "bytes", NO_KERAS, "sys.modules['tensorflow_text'] = None", marks=pytest.mark.slow
        ),
    ],
    ids=["wordpiece", "wordpiece without Keras", "bytes without Keras and tensorflow-text"],
)
def test_serves_without_keras_and_this_package(
    tokenizer, block, load, exported, classifier, byte_classifier, tmp_path
):
    model, path = classifier, exported[0]
    if tokenizer == "bytes":
        model, path = byte_classifier, tmp_path / "1"
        export_saved_model(model, path, documents=["a"])
    program = SERVER.replace("BLOCK", block).replace("LOAD", load)
    batch = HARD_BYTES[:3] + INVALID_UTF8
    answer = subprocess.run(
        [sys.executable, "-c", program, str(path), json.dumps([x.hex() for x in batch])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    probabilities, labels = json.loads(answer.stdout.split("RESULT")[1])
    expected = model.predict(batch, verbose=0)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert labels == [model.labels[i] for i in expected.argmax(-1)]


@pytest.mark.slow
def test_bytes_have_the_same_signatures(byte_classifier, tmp_path):
    report = byte_classifier.export_saved_model(tmp_path / "1", documents=HARD_TEXTS)
    assert report.largest_difference < 1e-5
    serve = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    received = serve(text=tf.constant(HARD_BYTES + INVALID_UTF8))["probabilities"]
    expected = byte_classifier.predict(HARD_BYTES + INVALID_UTF8, verbose=0)
    np.testing.assert_allclose(received, expected, atol=1e-5)
    assert serve(text=tf.constant([], tf.string))["probabilities"].shape == (0, 3)


def test_documents_ship_with_the_package():
    documents = sample_documents()
    assert len(documents) >= 2
    # Long ones, and ones that a fixed length fills with padding.
    assert sum(len(x) > 500 for x in documents) >= 2
    assert "" in documents


def test_refuses_an_existing_path(byte_classifier, exported):
    path = exported[0]
    before = (path / "saved_model.pb").read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        export_saved_model(byte_classifier, path, documents=["a"])
    assert (path / "saved_model.pb").read_bytes() == before


def test_does_not_delete_what_is_no_saved_model(byte_classifier, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "thesis.txt").write_text("precious")
    (tmp_path / "2").write_text("precious")
    for name in ("1", "2"):
        with pytest.raises(FileExistsError, match="not a SavedModel"):
            export_saved_model(byte_classifier, tmp_path / name, documents=["a"], overwrite=True)
    assert (tmp_path / "1" / "thesis.txt").read_text() == "precious"
    assert (tmp_path / "2").read_text() == "precious"


@pytest.mark.slow
def test_the_gate_leaves_nothing_behind(byte_classifier, documents, tmp_path, monkeypatch):
    # A model whose answers, all of them right, its export turns around.
    expected = 1 - byte_classifier.predict(documents, verbose=0)
    monkeypatch.setattr(byte_classifier, "predict", lambda *_, **__: expected)
    labels = [byte_classifier.labels[i] for i in expected.argmax(-1)]
    with pytest.raises(RuntimeError, match="loses too much accuracy"):
        export_saved_model(
            byte_classifier, tmp_path / "1", documents, labels, max_accuracy_drop=0.1
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_layers_and_measures_when_asked(make_classifier, documents, tmp_path):
    path, model = tmp_path / "1", make_classifier("wordpiece", num_layers=2)
    report = export_saved_model(model, path, documents=documents, measure=True)
    assert report.largest_difference < 1e-5
    assert report.milliseconds_1_thread > 0 and report.milliseconds_2_threads > 0
    if sys.platform == "linux":
        assert 1e6 < report.peak_memory < 1e9
    assert "| peak memory |" in str(report)
