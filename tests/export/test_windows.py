"""Classifiers that read long documents in windows: exports answer what `classify` does."""

import asyncio

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from keras_combiner.batches.windows import split_into_windows
from keras_combiner.export import export_onnx
from keras_combiner.export.document_windows import DocumentWindows, pooled_outputs, windows_of_ids
from keras_combiner.scoring.saved_model_scorer import SavedModelScorer
from keras_combiner.serving import SavedModelPredictor
from tests.eagerly import eagerly
from tests.export.test_tasks import make

# From nothing to more windows than are read at a time; 38 and 39 tokens just fit and just do not.
TEXTS = [
    "",
    "it will rain",
    "king " * 38,
    "king " * 39,
    "rain " * 60 + "once upon a time a king " * 30,
    "the king was old, " * 80 + "rain",
    "㍿" * 30,
]


@pytest.fixture(scope="module")
def classifier(make_classifier):
    return make_classifier("wordpiece", num_layers=1, long_texts="windows", lexical=False)


@pytest.fixture(scope="module")
def answers(classifier):
    """What it says of the texts. Tests must not change it."""
    with eagerly():
        return classifier.classify(TEXTS)


@pytest.fixture(scope="module")
def probabilities(classifier):
    with eagerly():
        return classifier.predict(TEXTS, verbose=0)


@pytest.fixture(scope="module")
def saved_model(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("windows") / "my_model" / "1"
    report = classifier.export_saved_model(path, documents=TEXTS, verbose=False)
    assert report.largest_difference < 1e-5
    return path


@pytest.fixture(scope="module")
def signatures(saved_model):
    return tf.saved_model.load(str(saved_model)).signatures


@pytest.mark.parametrize("length", [3, 4, 6, 7, 24])
def test_windows_are_those_of_training(length):
    sizes = [2, *range(length - 1, 4 * length), 500]
    rows = [np.arange(1, size + 1, dtype="int32") for size in sizes]
    token_ids = tf.ragged.constant(rows).to_tensor()
    windows = DocumentWindows(token_ids, tf.constant(sizes, tf.int64), length)
    expected = [split_into_windows(row, length) for row in rows]
    assert windows.counts.numpy().tolist() == [len(x) for x in expected]
    received = windows.ids(tf.range(sum(map(len, expected)))).numpy()
    assert [x[x > 0].tolist() for x in received] == [x.tolist() for y in expected for x in y]


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_every_task_and_a_model_of_one_length(eager, task):
    model = make(task, long_texts="windows", static_length=task == "multi_label")
    texts = ["", "rain", "rain king " * 5, "wind, " * 50 + "king " * 20]
    token_ids = model.tokenizer.encode(texts).to_tensor()
    received = pooled_outputs(model, windows_of_ids(token_ids, model))
    expected = model.predict(texts, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.01
    np.testing.assert_allclose(received, expected, rtol=1e-6, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("signature", ["serving_default", "serving_scores"])
def test_a_saved_model_answers_as_classify_does(signature, signatures, answers, probabilities):
    assert max(x["windows"] for x in answers) > 8
    together = signatures[signature](text=tf.constant(TEXTS))
    np.testing.assert_allclose(together["probabilities"], probabilities, atol=1e-5)
    for name in ("tokens", "truncated", "windows"):
        assert together[name].numpy().tolist() == [x[name] for x in answers]
    assert not together["truncated"].numpy().any()
    assert [x.decode() for x in together["label"].numpy()] == [x["label"] for x in answers]
    for text, row in zip(TEXTS, probabilities, strict=True):
        alone = signatures[signature](text=tf.constant([text]))["probabilities"]
        np.testing.assert_allclose(alone[0], row, atol=1e-5)


@pytest.mark.slow
def test_token_ids_of_any_length(signatures, classifier, probabilities):
    serve = signatures["serving_token_ids"]
    token_ids = classifier.tokenizer.encode(TEXTS).to_tensor()
    # As TF Serving fills up shorter requests: with the first id of theirs.
    filled = tf.where(token_ids == 0, token_ids[:, :1], token_ids)
    for ids in (token_ids, filled):
        np.testing.assert_allclose(serve(token_ids=ids)["probabilities"], probabilities, atol=1e-5)
    assert serve(token_ids=tf.zeros([0, 99], tf.int32))["probabilities"].shape == (0, 3)
    assert serve(token_ids=tf.zeros([2, 0], tf.int32))["probabilities"].shape == (2, 3)


def test_weights_add_up_over_the_whole_document(signatures, classifier, probabilities):
    scores = {
        k: v.numpy() for k, v in signatures["serving_scores"](text=tf.constant(TEXTS)).items()
    }
    encoded = classifier.tokenizer.encode_with_offsets(TEXTS)
    for name, rows in zip(("ids", "starts", "ends"), encoded, strict=True):
        np.testing.assert_array_equal(scores[f"token_{name}"], rows.to_tensor())
    logits = classifier.task.linear(probabilities)
    bias = np.asarray(classifier.get_layer("probabilities").bias)
    constants = (bias - bias.mean())[logits.argmax(-1)]
    sums = scores["token_weights"].sum(-1)
    np.testing.assert_allclose(sums + constants, logits.max(-1), atol=1e-5)
    is_padding = scores["token_ids"] == 0
    assert not scores["token_weights"][is_padding].any()
    assert scores["token_weights"][~is_padding].all()
    for i, text in enumerate(TEXTS):
        alone = signatures["serving_scores"](text=tf.constant([text]))["token_weights"][0]
        received = scores["token_weights"][i, : len(alone)]
        np.testing.assert_allclose(received, alone, atol=1e-5)


def test_windows_speak_for_the_class_of_their_document(eager, classifier, probabilities):
    # What the test above would not see if all windows were of one opinion.
    windows = windows_of_ids(classifier.tokenizer.encode(TEXTS).to_tensor(), classifier)
    ids = windows.ids(tf.range(len(windows.documents)))
    labels = probabilities.argmax(-1)[windows.documents]
    assert (classifier.predict(ids, verbose=0).argmax(-1) != labels).any()


def test_no_more_windows_at_a_time_for_a_longer_document(classifier, monkeypatch):
    token_ids = classifier.tokenizer.encode(TEXTS[-2:-1] * 3).to_tensor()
    windows = windows_of_ids(token_ids, classifier)
    sizes = []

    def call(ids, rows):
        sizes.append(len(rows))
        return [tf.zeros([len(rows), 1])]

    windows.run(call, [windows.zeros(1)])
    assert sum(sizes) == len(windows.documents) and max(sizes) == 8 == min(sizes[:-1])


@pytest.mark.slow
def test_scores_of_a_corpus_are_the_same(saved_model, classifier, answers):
    received = SavedModelScorer(saved_model, labels=classifier.labels).score(TEXTS)
    for row, answer in zip(received, answers, strict=True):
        assert row["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-5)
        assert row | {"probabilities": answer["probabilities"]} == answer


@pytest.mark.slow
def test_the_server_answers_the_same(saved_model, classifier, answers):
    predictor = SavedModelPredictor(saved_model.parent)
    predictor.load()
    try:
        payload = {"instances": TEXTS}
        received = asyncio.run(predictor.predict(payload))["predictions"]
        payload = {"instances": TEXTS[-3:], "signature_name": "serving_scores"}
        scores = asyncio.run(predictor.predict(payload))["predictions"]
    finally:
        predictor.stop()
    for row, answer in zip(received, answers, strict=True):
        by_label = dict(zip(classifier.labels, row["probabilities"], strict=True))
        assert by_label == pytest.approx(answer["probabilities"], abs=1e-5)
        for name in ("label", "tokens", "truncated", "windows"):
            assert row[name] == answer[name]
    assert [len(x["token_weights"]) for x in scores] == [x["tokens"] for x in answers[-3:]]


@pytest.mark.slow
def test_an_onnx_file_answers_the_same(classifier, probabilities, tmp_path):
    path = tmp_path / "model.onnx"
    report = export_onnx(classifier, path, documents=TEXTS, verbose=False)
    assert report.largest_difference < 1e-5
    session = onnxruntime.InferenceSession(str(path))
    assert session.get_inputs()[0].shape == ["batch", "length"]
    token_ids = classifier.tokenizer.encode(TEXTS).to_tensor().numpy()
    (together,) = session.run(None, {"token_ids": token_ids})
    np.testing.assert_allclose(together, probabilities, atol=1e-5)
    for ids in (token_ids[:0], token_ids[:0, :0]):
        assert session.run(None, {"token_ids": ids})[0].shape == (0, 3)
