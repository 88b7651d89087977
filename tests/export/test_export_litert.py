import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_combiner import LongDocumentClassifier
from keras_combiner.export import QUANTIZATIONS, export_litert, run_litert
from keras_combiner.export.checked_export import sample_documents
from keras_combiner.export.quantization import CALIBRATED

# Largest difference of a probability, on an untrained model.
TOLERANCES = {
    "float32": 1e-4,
    "float16": 1e-2,
    "dynamic_int8": 5e-2,
    "int8": 1e-1,
    "int4": 5e-1,
    "int16x8": 5e-2,
}


# Of the two that are calibrated, every change has "int8".
SLOW = ("float16", "int4", "int16x8")


def interpreter_of(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    return interpreter


every_quantization = pytest.mark.parametrize(
    "quantization",
    [pytest.param(x, marks=pytest.mark.slow) if x in SLOW else x for x in TOLERANCES],
)


def test_every_quantization_is_tested():
    assert tuple(TOLERANCES) == QUANTIZATIONS


@every_quantization
def test_gives_the_models_probabilities(litert_file, classifier, documents, quantization):
    path, report = litert_file(quantization)
    runner = interpreter_of(path).get_signature_runner("serving_default")
    ids = classifier.tokenizer(documents, 40).numpy()
    received = np.concatenate([runner(token_ids=row[np.newaxis])["probabilities"] for row in ids])
    expected = classifier.predict(documents, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.1, "documents must differ for this to mean anything"
    difference = np.abs(received - expected).max()
    assert difference < TOLERANCES[quantization]
    assert report.largest_difference == pytest.approx(difference, abs=1e-6)
    agree = np.mean(received.argmax(-1) == expected.argmax(-1))
    assert report.agreement == pytest.approx(agree)
    assert report.documents == len(documents)
    assert report.size == path.stat().st_size
    assert report.path == str(path)


@every_quantization
def test_takes_token_ids_and_gives_probabilities(litert_file, quantization):
    interpreter = interpreter_of(litert_file(quantization)[0])
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["token_ids"], "outputs": ["probabilities"]}
    }
    (inputs,), (outputs,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (inputs["dtype"], inputs["shape"].tolist()) == (np.int32, [1, 40])
    assert (outputs["dtype"], outputs["shape"].tolist()) == (np.float32, [1, 3])


@every_quantization
def test_holds_built_in_ops_only(litert_file, quantization):
    names = {x["op_name"] for x in interpreter_of(litert_file(quantization)[0])._get_ops_details()}
    assert {"FULLY_CONNECTED", "BATCH_MATMUL"} & names
    assert not [x for x in names if x.startswith("Flex") or "CUSTOM" in x.upper()]
    # XNNPACK's DELEGATE stands for built-in ops; every other name is one.
    from ai_edge_litert import schema_py_generated as schema

    built_in = {x for x in vars(schema.BuiltinOperator) if x.isupper() or x[0].isupper()}
    assert names - {"DELEGATE"} <= built_in - {"CUSTOM"}


@every_quantization
def test_all_lengths_of_document_are_right(litert_file, classifier, quantization):
    runner = interpreter_of(litert_file(quantization)[0]).get_signature_runner("serving_default")
    generator = np.random.default_rng(0)
    lengths = [0, 1, 7, 8, 9, 39, 40]
    ids = np.zeros((len(lengths), 40), "int32")
    size = classifier.tokenizer.vocabulary_size
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = generator.integers(1, size, size=length)
    received = [runner(token_ids=row[np.newaxis])["probabilities"][0] for row in ids]
    expected = classifier.predict(ids, verbose=0)
    np.testing.assert_allclose(received, expected, atol=TOLERANCES[quantization])


def test_quantized_files_are_smaller_and_hold_short_weights(litert_file):
    sizes, dtypes = {}, {}
    for name in ("int4", "dynamic_int8", "float16", "float32"):
        path, report = litert_file(name)
        sizes[name] = report.size
        details = interpreter_of(path).get_tensor_details()
        dtypes[name] = {x["dtype"] for x in details}
    assert sizes["int4"] < sizes["dynamic_int8"] < sizes["float16"] < sizes["float32"]
    assert np.float16 in dtypes["float16"]
    assert np.int8 in dtypes["dynamic_int8"]
    assert not {np.float16, np.int8} & dtypes["float32"]


@every_quantization
def test_nothing_but_the_file_is_written(litert_file, quantization):
    path, _ = litert_file(quantization)
    assert [x.name for x in path.parent.iterdir()] == ["model.tflite"]


@every_quantization
def test_runs_without_the_default_delegate(litert_file, classifier, documents, quantization):
    # XNNPACK turns some NaN into numbers; the reference kernels show them.
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(litert_file(quantization)[0]),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    runner = interpreter.get_signature_runner("serving_default")
    ids = classifier.tokenizer(documents, 40).numpy()
    received = np.concatenate([runner(token_ids=row[np.newaxis])["probabilities"] for row in ids])
    expected = classifier.predict(documents, verbose=0)
    np.testing.assert_allclose(received, expected, atol=TOLERANCES[quantization])


@pytest.mark.slow
@every_quantization
def test_two_layers(make_classifier, documents, quantization, tmp_path):
    options = {"calibration_data": documents} if quantization in CALIBRATED else {}
    report = export_litert(
        make_classifier("wordpiece", num_layers=2),
        tmp_path / "model.tflite",
        quantization=quantization,
        documents=documents,
        **options,
    )
    assert report.largest_difference < TOLERANCES[quantization]


@pytest.mark.slow
@pytest.mark.parametrize("summary", ["max", "mean"])
def test_float16_of_the_other_summaries(summary, make_classifier, documents, tmp_path):
    model = make_classifier("bytes", num_layers=1, summary=summary)
    report = export_litert(
        model, tmp_path / "model.tflite", quantization="float16", documents=documents
    )
    assert report.largest_difference < TOLERANCES["float16"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quantization": "int2"}, "must be one of 'float32', 'float16', 'dynamic_int8'.*'int2'"),
        ({"quantization": None}, "must be one of 'float32'.*None"),
        ({"input_type": "words"}, "must be one of 'token_ids', 'text'.*'words'"),
        ({"path": "model.lite"}, r"ends in \.tflite.*model\.lite"),
        ({"path": "model"}, r"ends in \.tflite"),
        ({"quantization": "int8"}, "'int8' needs `calibration_data`.*None"),
        ({"quantization": "int16x8", "calibration_data": []}, r"'int16x8' needs.*\[\]"),
        (
            {"quantization": "int8", "calibration_data": "a king"},
            "calibration texts.*'a king'",
        ),
        ({"quantization": "int8", "calibration_data": ["", "\n"]}, "2 texts, all of them blank"),
        ({"calibration_data": ["a"]}, "for 'int8' and 'int16x8'; 'float32' has no use for it"),
        ({"sequence_lengths": []}, "different ints from 3 to 40"),
        ({"sequence_lengths": [20, 20]}, r"different ints.*\[20, 20\]"),
        ({"sequence_lengths": [2, 40]}, r"from 3 to 40.*\[2, 40\]"),
        ({"sequence_lengths": [41]}, r"from 3 to 40.*\[41\]"),
        ({"sequence_lengths": ["20"]}, r"different ints.*\['20'\]"),
    ],
)
def test_wrong_arguments(byte_classifier, options, words, tmp_path):
    options = {"path": "model.tflite", **options}
    options["path"] = tmp_path / options["path"]
    with pytest.raises(ValueError, match=words):
        export_litert(byte_classifier, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow  # README measures a file on every change
def test_measures_when_asked(byte_classifier, tmp_path):
    path = tmp_path / "a.tflite"
    report = export_litert(byte_classifier, path, measure=True)
    assert report.documents == len(sample_documents())
    assert report.milliseconds_1_thread > 0 and report.milliseconds_2_threads > 0
    if sys.platform == "linux":
        assert 1e4 < report.peak_memory < 1e8
    assert "| median latency, 2 threads |" in str(report)
    assert [x.name for x in tmp_path.iterdir()] == ["a.tflite"]


NOT_BUILT_IN = {
    "Digamma": lambda x: tf.math.digamma(x + 2.0),
    "Betainc": lambda x: tf.math.betainc(tf.ones_like(x), tf.ones_like(x), x),
}


@pytest.mark.parametrize("name", ["Digamma", pytest.param("Betainc", marks=pytest.mark.slow)])
def test_an_op_that_is_not_built_in_is_named(name, byte_classifier, tmp_path, monkeypatch):
    call = LongDocumentClassifier.call

    def with_strange_op(self, *args, **kwargs):
        return NOT_BUILT_IN[name](call(self, *args, **kwargs))

    monkeypatch.setattr(LongDocumentClassifier, "call", with_strange_op)
    with pytest.raises(RuntimeError, match=f"no built-in op for: {name}\\. Nothing was written"):
        export_litert(byte_classifier, tmp_path / "model.tflite", documents=["a"])
    assert not list(tmp_path.iterdir())


def test_missing_litert_names_the_extra(byte_classifier, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_combiner\[litert\]'"):
        export_litert(byte_classifier, tmp_path / "model.tflite", documents=["a"])
    assert not list(tmp_path.iterdir())


def test_missing_quantizer_names_the_extra(byte_classifier, documents, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    with pytest.raises(ImportError, match=r"ai-edge-quantizer.*'keras_combiner\[litert\]'"):
        export_litert(byte_classifier, tmp_path / "model.tflite", quantization="float16")
    assert not list(tmp_path.iterdir())
    # In float32 nothing is quantized.
    report = byte_classifier.export_litert(tmp_path / "model.tflite", documents=documents)
    assert (tmp_path / "model.tflite").stat().st_size == report.size
    assert report.largest_difference < 1e-4
    assert report.agreement == 1.0


@pytest.mark.slow
def test_runs_with_the_runtime_alone(litert_file, classifier, documents, tmp_path):
    ids = classifier.tokenizer(documents, 40).numpy()
    np.save(tmp_path / "ids.npy", ids)
    program = """
import sys
for name in ("tensorflow", "keras", "keras_combiner"):
    sys.modules[name] = None
import numpy as np
from ai_edge_litert.interpreter import Interpreter
run = Interpreter(model_path=sys.argv[1]).get_signature_runner("serving_default")
rows = [run(token_ids=row[None])["probabilities"] for row in np.load("ids.npy")]
np.save("rows.npy", np.concatenate(rows))
"""
    path = litert_file("float32")[0]
    subprocess.run([sys.executable, "-c", program, str(path)], cwd=tmp_path, check=True)
    expected = classifier.predict(documents, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "rows.npy"), expected, atol=1e-4)


@pytest.mark.parametrize("unknown", [-1, 10_000, 2**31 - 1])
@pytest.mark.parametrize("quantization", ["float32", "dynamic_int8"])
def test_ids_that_the_vocabulary_does_not_have_are_refused(litert_file, quantization, unknown):
    ids = np.zeros((1, 40), "int32")
    ids[0, :6] = [2, 5, 6, unknown, 7, 3]
    with pytest.raises(RuntimeError, match="index out of bounds"):
        run_litert(litert_file(quantization)[0], ids)
