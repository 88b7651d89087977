import importlib
import subprocess
import sys
import types

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from keras_combiner import LongDocumentClassifier, factorizations
from keras_combiner.export import export_onnx, run_onnx

# The module, whose name in the package is not that of the function.
onnx_export = importlib.import_module("keras_combiner.export.onnx")

TOLERANCE = 1e-5
PLANS = {
    **{name: name for name in factorizations.names()},
    "fixed with parts and neighbors": factorizations.Fixed(8, part_size=4, neighbors=1),
    "routing": factorizations.Routing(8, num_clusters=3),
    "mixture": factorizations.Mixture(["fixed", "axial_rowmajor"], block_size=8),
}


@pytest.fixture(scope="module")
def exported(onnx_file_of_classifier):
    return onnx_file_of_classifier


def test_gives_the_models_probabilities(exported, classifier, documents):
    path, report = exported
    ids = [row.numpy() for row in classifier.tokenizer.encode(documents, 40)]
    received, seconds = run_onnx(path, ids, num_threads=2)
    expected = classifier.predict(documents, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.1, "documents must differ for this to mean anything"
    difference = np.abs(received - expected).max()
    assert difference < TOLERANCE
    assert report.largest_difference == pytest.approx(difference, abs=1e-6)
    assert (report.agreement, report.documents) == (1.0, len(documents))
    assert report.size == path.stat().st_size
    assert len(seconds) == len(documents) and (seconds > 0).all()


def test_takes_batches_of_any_size_and_length(exported, classifier):
    session = onnxruntime.InferenceSession(str(exported[0]))
    (inputs,), (outputs,) = session.get_inputs(), session.get_outputs()
    assert (inputs.name, inputs.type, inputs.shape) == (
        "token_ids",
        "tensor(int32)",
        ["batch", "length"],
    )
    assert (outputs.name, outputs.type, outputs.shape) == (
        "probabilities",
        "tensor(float)",
        ["batch", 3],
    )
    # Around blocks of 8; padding in all shapes, and a document of nothing else.
    generator = np.random.default_rng(0)
    size = classifier.tokenizer.vocabulary_size
    for batch, length in ((1, 1), (2, 7), (3, 8), (4, 9), (1, 39), (5, 40)):
        ids = generator.integers(1, size, size=(batch, length), dtype="int32")
        for row in range(batch):
            ids[row, length - row * length // 4 :] = 0
        (received,) = session.run(None, {"token_ids": ids})
        np.testing.assert_allclose(
            received, classifier.predict(ids, verbose=0), atol=TOLERANCE, rtol=0
        )


def test_holds_standard_operators_only(exported):
    import onnx

    model = onnx.load(str(exported[0]))
    onnx.checker.check_model(model, full_check=True)
    assert {x.domain for x in model.graph.node} == {""}


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS)
def test_every_plan(plan, make_classifier, documents, tmp_path):
    model = make_classifier("bytes", factorization=PLANS[plan], static_length=True)
    report = export_onnx(model, tmp_path / "model.onnx", documents=documents)
    assert report.largest_difference < TOLERANCE
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    assert session.get_inputs()[0].shape == ["batch", 40]
    ids = model.tokenizer(documents, 40).numpy()
    (received,) = session.run(None, {"token_ids": ids})
    np.testing.assert_allclose(received, model.predict(ids, verbose=0), atol=TOLERANCE, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"summary": "max"},
        {"summary": "mean"},
        {"summary": "deepset"},
        {"summary": "none"},
        {"rotary": True},
        {"num_key_value_heads": 1},
        {"normalize_first": False},
        {"use_causal_mask": True},
    ],
    ids=str,
)
def test_every_option(options, make_classifier, documents, tmp_path):
    model = make_classifier("bytes", **options)
    report = export_onnx(model, tmp_path / "model.onnx", documents=documents)
    assert report.largest_difference < TOLERANCE


def test_holds_accuracy_and_measures(
    exported, classifier, documents, tmp_path, monkeypatch, capsys
):
    content = exported[0].read_bytes()
    monkeypatch.setattr(onnx_export, "_convert", lambda _: content)  # once is enough
    path = tmp_path / "model.onnx"
    named = [x["label"] for x in classifier.classify(documents)]
    report = classifier.export_onnx(
        path,
        documents=documents,
        labels=named,
        max_accuracy_drop=0.0,
        measure=True,
    )
    assert (report.accuracy, report.model_accuracy) == (1.0, 1.0)
    assert report.milliseconds_1_thread > 0 and report.milliseconds_2_threads > 0
    if sys.platform == "linux":
        assert 1e4 < report.peak_memory < 1e8
    assert "| median latency, 2 threads |" in capsys.readouterr().out
    assert [x.name for x in tmp_path.iterdir()] == ["model.onnx"]


def test_wrong_arguments(byte_classifier, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.onnx.*model\.tflite"):
        export_onnx(byte_classifier, tmp_path / "model.tflite")
    with pytest.raises(ValueError, match="needs `documents` and their `labels`"):
        export_onnx(byte_classifier, tmp_path / "model.onnx", max_accuracy_drop=0.1)
    aware = types.SimpleNamespace(learns_ranges=True)
    with pytest.raises(ValueError, match=r"quantization='int8'\); to ONNX.*without_quantization"):
        export_onnx(aware, tmp_path / "model.onnx")
    (tmp_path / "model.onnx").write_text("precious")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        export_onnx(byte_classifier, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_text() == "precious"


@pytest.mark.slow
def test_an_operation_that_onnx_lacks_is_named(byte_classifier, tmp_path, monkeypatch):
    call = LongDocumentClassifier.call
    monkeypatch.setattr(
        LongDocumentClassifier,
        "call",
        lambda self, *args, **kwargs: tf.math.digamma(call(self, *args, **kwargs) + 2.0),
    )
    with pytest.raises(RuntimeError, match=r"no operator for: Digamma\. Nothing was written"):
        export_onnx(byte_classifier, tmp_path / "model.onnx", documents=["a"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["tf2onnx", "onnxruntime"])
def test_a_missing_package_names_the_extra(package, byte_classifier, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'keras_combiner\[onnx\]'"):
        export_onnx(byte_classifier, tmp_path / "model.onnx", documents=["a"])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_runs_with_the_runtime_alone(exported, classifier, documents, tmp_path):
    np.save(tmp_path / "ids.npy", classifier.tokenizer(documents, 40).numpy())
    program = """
import sys
for name in ("tensorflow", "keras", "keras_combiner", "onnx", "tf2onnx"):
    sys.modules[name] = None
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
np.save("rows.npy", session.run(["probabilities"], {"token_ids": np.load("ids.npy")})[0])
"""
    command = [sys.executable, "-c", program, str(exported[0])]
    subprocess.run(command, cwd=tmp_path, check=True)
    expected = classifier.predict(documents, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "rows.npy"), expected, atol=TOLERANCE)


@pytest.mark.parametrize("unknown", [-1, 10_000, 2**31 - 1])
def test_ids_that_there_are_not_count_as_padding(exported, unknown):
    ids = np.array([[2, 5, 6, unknown, 7, 3]], "int32")
    padding = np.where(ids == unknown, 0, ids).astype("int32")
    received, expected = (run_onnx(exported[0], x)[0] for x in (ids, padding))
    np.testing.assert_allclose(received, expected, atol=1e-6)
