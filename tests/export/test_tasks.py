"""Exports of models of several labels, of numbers, and of those that read windows."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner import LongDocumentClassifier
from keras_combiner.export import run_litert

TEXTS = ["rain", "king", "rain king", "wind"]
READING = {"tokens", "truncated"}
BY_TOKEN = {"token_ids", "token_starts", "token_ends", "token_weights"}
LABELS = {
    "single_label": ["a", "b", "a", "b"],
    "multi_label": [["a"], ["b"], ["a", "b"], []],
    "regression": [10.0, 20.0, 30.0, 40.0],
}


@pytest.fixture(
    scope="module", params=["multi_label", pytest.param("regression", marks=pytest.mark.slow)]
)
def model(request):
    return make(request.param)


def make(task, labels=None, **options):
    keras.utils.set_random_seed(0)
    model = LongDocumentClassifier.from_texts(
        TEXTS,
        LABELS[task] if labels is None else labels,
        task=task,
        sequence_length=24,
        num_layers=1,
        num_heads=2,
        hidden_dim=32,
        intermediate_dim=32,
        block_size=8,
        tokenizer="bytes",
        verbose=False,
        **options,
    )
    for weight in model.trainable_weights:
        weight.assign_add(keras.random.normal(weight.shape, stddev=0.2))
    if task == "multi_label":  # exports have what calibration found
        model.calibrate(TEXTS * 3, LABELS[task] * 3)
        assert model.task.temperature != 1 and set(model.task.thresholds) != {0.5}
    return model


@pytest.mark.slow
def test_saved_model(model, tmp_path):
    labels = LABELS[model.task.name]
    report = model.export_saved_model(tmp_path / "1", documents=TEXTS, labels=labels, verbose=False)
    signatures = tf.saved_model.load(str(tmp_path / "1")).signatures
    expected = model.predict(TEXTS, verbose=0)
    text, token_ids = tf.constant(TEXTS), model.tokenizer(TEXTS, 24)
    plain, ids = signatures["serving_default"](text=text), signatures["serving_token_ids"]
    scores = signatures["serving_scores"](text=text)
    if model.task.name == "regression":
        expected = expected[:, 0]
        assert set(plain) == {"value", *READING}
        assert set(scores) == {"value", *READING, *BY_TOKEN}
        assert report.agreement is None and report.error == pytest.approx(report.model_error)
        assert "| mean absolute error of the model |" in str(report)
    else:
        assert set(plain) == {"probabilities", "is_label", *READING}
        for received in (plain, scores):
            np.testing.assert_array_equal(received["is_label"], model.task.named(expected) > 0)
        best = [model.labels[i] for i in expected.argmax(-1)]
        assert [x.decode() for x in scores["label"].numpy()] == best
        assert report.agreement == 1 and report.accuracy == report.model_accuracy
    output = model.task.output
    for received in (plain, ids(token_ids=token_ids), scores):
        np.testing.assert_allclose(received[output], expected, rtol=1e-4, atol=1e-4)
    assert signatures["serving_default"](text=tf.zeros([0], tf.string))[output].shape[0] == 0


@pytest.mark.parametrize(
    "quantization",
    [pytest.param(x, marks=pytest.mark.slow) for x in ("float32", "dynamic_int8", "int8")],
)
def test_litert(model, quantization, tmp_path):
    report = model.export_litert(
        tmp_path / "model.tflite",
        quantization=quantization,
        calibration_data=TEXTS if quantization == "int8" else None,
        documents=TEXTS,
        labels=LABELS[model.task.name],
        verbose=False,
    )
    received, _ = run_litert(tmp_path / "model.tflite", model.tokenizer(TEXTS, 24).numpy())
    expected = model.predict(TEXTS, verbose=0)
    room = {"float32": 1e-4, "dynamic_int8": 0.1, "int8": 0.1}[quantization]
    # Values of a regression have a scale, and so have their errors and their rounding.
    scale = getattr(model.task, "scale", 1)
    np.testing.assert_allclose(received, expected, atol=room * scale)
    difference = np.abs(received - expected).max()
    assert report.largest_difference == pytest.approx(difference, abs=1e-6 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_numbers_are_not_bound_by_those_of_the_calibration(quantization, tmp_path):
    model = make("regression", labels=[1e4 + x for x in LABELS["regression"]])
    path = tmp_path / "model.tflite"
    model.export_litert(
        path, quantization=quantization, calibration_data=TEXTS, documents=TEXTS, verbose=False
    )
    texts = [*TEXTS, "", "wind rain", "king of kings"]
    expected = model.predict(texts, verbose=0)
    received, _ = run_litert(path, model.tokenizer(texts, 24).numpy())
    # Far from zero, as the mean is, and farther from it than those of the calibration.
    assert expected[4:].max() > expected[:4].max() or expected[4:].min() < expected[:4].min()
    np.testing.assert_allclose(received, expected, atol=0.2 * model.task.scale)


def test_a_regression_has_no_accuracy_to_lose(tmp_path):
    model = make("regression")
    options = {"documents": TEXTS, "labels": LABELS["regression"], "max_accuracy_drop": 0.1}
    with pytest.raises(ValueError, match="a regression has no accuracy"):
        model.export_litert(tmp_path / "model.tflite", **options)
    assert list(tmp_path.iterdir()) == []
