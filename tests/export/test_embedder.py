"""Exports of embedders: their outputs, their reports, and what they refuse."""

import json

import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.cli.main import main
from keras_combiner.export import export_for_tf_serving, run_litert, run_onnx
from keras_combiner.export.onnx import token_ids_of
from keras_combiner.export.quantization import CALIBRATED
from keras_combiner.scoring.saved_model_scorer import SavedModelScorer
from tests.export.embedders import make_embedder

TEXTS = ["it will rain tomorrow", "", "once upon a time a king", "rain and wind " * 20]


@pytest.fixture(scope="module")
def embedder():
    return make_embedder(truncate_dim=12)


@pytest.fixture(scope="module")
def saved_model(embedder, tmp_path_factory):
    """Path and report. Tests must not change it."""
    path = tmp_path_factory.mktemp("embedder") / "my_embedder" / "1"
    return path, embedder.export_saved_model(path, documents=TEXTS, verbose=False)


def test_saved_model(embedder, saved_model):
    path, report = saved_model
    signatures = tf.saved_model.load(str(path)).signatures
    assert set(signatures) == {"serving_default", "serving_token_ids"}
    answer = signatures["serving_default"](text=tf.constant(TEXTS))
    assert set(answer) == {"embedding", "tokens", "truncated"}
    truth = embedder.predict(TEXTS, verbose=0)
    np.testing.assert_allclose(answer["embedding"], truth, atol=1e-5)
    assert answer["embedding"].dtype == tf.float32
    assert answer["truncated"].numpy().tolist() == [False, False, False, True]
    token_ids = embedder.tokenizer(TEXTS, embedder.sequence_length)
    answer = signatures["serving_token_ids"](token_ids=token_ids)
    np.testing.assert_allclose(answer["embedding"], truth, atol=1e-5)
    empty = signatures["serving_default"](text=tf.zeros([0], tf.string))
    assert empty["embedding"].shape == (0, 12)
    assert report.agreement is None and report.accuracy is None
    assert report.smallest_cosine == pytest.approx(1, abs=1e-6)
    assert "| smallest cosine | 1.000000 |" in str(report)


def test_score_takes_it_without_labels(embedder, saved_model):
    path, _ = saved_model
    rows = SavedModelScorer(path).score(TEXTS)
    assert set(rows[0]) == {"embedding", "tokens", "truncated"}
    received = np.array([x["embedding"] for x in rows])
    np.testing.assert_allclose(received, embedder.predict(TEXTS, verbose=0), atol=1e-5)
    with pytest.raises(
        ValueError,
        match=r"labels are for a model with probabilities\. Received: .* returns embedding, tok",
    ):
        SavedModelScorer(path, labels=["rain", "king"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quantization", "cosine"),
    [
        ("float32", 0.999999),
        ("float16", 0.9999),
        ("dynamic_int8", 0.99),
        ("int8", 0.98),
        ("int16x8", 0.99),
        ("int4", 0.8),
    ],
)
def test_litert(embedder, quantization, cosine, tmp_path):
    path = tmp_path / "embedder.tflite"
    report = embedder.export_litert(
        path,
        quantization=quantization,
        calibration_data=TEXTS if quantization in CALIBRATED else None,
        sequence_lengths=[20, 40],
        documents=TEXTS,
        verbose=False,
    )
    assert report.documents == 8 and report.smallest_cosine > cosine
    received, _ = run_litert(path, embedder.tokenizer(TEXTS, 40).numpy())
    np.testing.assert_allclose(np.linalg.norm(received, axis=-1), 1, atol=1e-3)
    truth = embedder.predict(TEXTS, verbose=0)
    assert np.sum(received * truth, axis=-1).min() > cosine


@pytest.mark.slow
def test_litert_of_text(embedder, tmp_path):
    path = tmp_path / "embedder.tflite"
    embedder.export_litert(path, input_type="text", documents=TEXTS, verbose=False)
    received, _ = run_litert(path, TEXTS)
    np.testing.assert_allclose(received, embedder.predict(TEXTS, verbose=0), atol=1e-5)


def test_what_a_tflite_file_says(tmp_path):
    from keras_combiner.export.tflite_editors.metadata import metadata_of

    value = json.loads(json.dumps(metadata_of(make_embedder(long_texts="windows"), [40])))
    assert value["task"] == {"name": "embedding", "normalize": True}
    assert value["labels"] == [] and value["long_texts"] == "windows"


@pytest.mark.slow
@pytest.mark.parametrize("long_texts", ["truncate", "windows"])
def test_onnx(long_texts, tmp_path):
    embedder = make_embedder(long_texts=long_texts)
    path = tmp_path / "embedder.onnx"
    report = embedder.export_onnx(path, documents=TEXTS, verbose=False)
    assert report.largest_difference < 1e-5 and report.smallest_cosine > 0.999999
    received, _ = run_onnx(path, token_ids_of(embedder, TEXTS))
    np.testing.assert_allclose(received, embedder.predict(TEXTS, verbose=0), atol=1e-5)


@pytest.mark.slow
def test_other_precisions_are_written_in_float32(tmp_path):
    embedder = make_embedder()
    config = embedder.get_config()
    config["backbone"]["config"]["dtype"] = "mixed_float16"
    half = type(embedder).from_config(config)
    half.set_weights(embedder.get_weights())
    half.export_onnx(tmp_path / "a.onnx", documents=TEXTS, verbose=False)
    received, _ = run_onnx(tmp_path / "a.onnx", token_ids_of(embedder, TEXTS))
    np.testing.assert_allclose(received, embedder.predict(TEXTS, verbose=0), atol=1e-4)


@pytest.mark.slow
def test_tf_serving_with_warm_up(tmp_path):
    embedder = make_embedder(long_texts="windows")
    report = export_for_tf_serving(embedder, tmp_path / "my_embedder", verbose=False)
    assert report.smallest_cosine > 0.999999
    assert (tmp_path / "my_embedder/1/assets.extra").is_dir()


def test_what_is_refused(embedder, tmp_path):
    path = tmp_path / "a.onnx"
    for options in ({"labels": ["a"] * 4}, {"max_accuracy_drop": 0.1}):
        with pytest.raises(ValueError, match="have no accuracy: leave `labels` and"):
            embedder.export_onnx(path, documents=TEXTS, **options)
    assert not path.exists()


@pytest.mark.slow
def test_the_command_exports_embedders(embedder, tmp_path, capsys):
    embedder.save(tmp_path / "model.keras")
    arguments = ["export", "--model", str(tmp_path), "--onnx", str(tmp_path / "out/a.onnx")]
    assert main(arguments) == 0
    assert "| smallest cosine |" in capsys.readouterr().out
    assert sorted(x.name for x in (tmp_path / "out").iterdir()) == ["a.onnx", "vocab.txt"]
