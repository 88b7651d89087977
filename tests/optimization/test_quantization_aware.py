"""Quantization-aware classifiers: saved, loaded and exported as they compute."""

import collections
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_combiner import LongDocumentClassifier
from keras_combiner.export import export_litert, run_litert
from keras_combiner.models.fine_tuned import copied
from keras_combiner.optimization import (
    QuantizationAwareClassifier,
    fine_tuned,
    quantization_aware,
)
from tests.eagerly import eagerly
from tests.export.litert_graph import Graph

# As in a fresh process, where nobody has imported what the file needs.
PREDICT = """
import sys
import numpy as np
from keras_combiner import LongDocumentClassifier
model = LongDocumentClassifier.load(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
"""


@pytest.fixture(scope="module")
def token_ids(classifier, data):
    texts = [*data[0][:6], "bright", ""]
    return classifier.tokenizer(texts, classifier.sequence_length).numpy()


@pytest.fixture(scope="module")
def aware(classifier, data):
    options = {"epochs": 2, "batch_size": 12, "learning_rate": 1e-4, "verbose": 0}
    with eagerly():
        return fine_tuned(quantization_aware(classifier), *data, **options)


@pytest.fixture(scope="module")
def exported(aware, tmp_path_factory):
    path = tmp_path_factory.mktemp("aware") / "model.tflite"
    export_litert(aware, path, quantization="int8", documents=["bright"], verbose=False)
    return path


def test_the_original_stays_as_it_is(eager, classifier, aware, token_ids):
    assert type(classifier) is LongDocumentClassifier
    assert isinstance(aware, QuantizationAwareClassifier)
    plain = quantization_aware(classifier).without_quantization()
    assert type(plain) is LongDocumentClassifier
    np.testing.assert_array_equal(
        plain.predict(token_ids, verbose=0), classifier.predict(token_ids, verbose=0)
    )


def test_weights_and_activations_have_256_values(aware, token_ids):
    with aware.weights_in_float():
        with_float_weights = aware(token_ids, training=False)
    assert not np.array_equal(with_float_weights, aware(token_ids, training=False))
    name = "probabilities/output"
    smallest, largest = aware.learned_ranges.ranges[name]
    values = aware.learned_ranges(np.linspace(-20, 20, 5000, dtype="float32"), name=name)
    assert len(np.unique(values)) == 256
    assert float(smallest) - 0.1 < np.min(values) < np.max(values) < float(largest) + 0.1


def test_calibration_scales_the_range_of_the_logits(eager, aware, token_ids):
    model = copied(aware)
    before = model.task.linear(model.predict(token_ids, verbose=0))
    model._scale_logits(0.5)
    after = model.task.linear(model.predict(token_ids, verbose=0))
    np.testing.assert_allclose(after, before / 2, atol=1e-3)


@pytest.mark.slow
def test_gradients_reach_every_trained_weight(aware, data):
    before = {x.path: x.numpy().copy() for x in aware.trainable_weights}
    model = fine_tuned(aware, *data, epochs=1, batch_size=8, learning_rate=1e-3, verbose=0)
    unmoved = [x.path for x in model.trainable_weights if np.array_equal(x.numpy(), before[x.path])]
    assert not unmoved


def test_the_ranges_of_a_frozen_layer_stay(classifier, token_ids):
    model = quantization_aware(classifier)

    def learned():
        return {name: np.array(x) for name, x in model.learned_ranges.ranges.items()}

    new = learned()
    model.backbone.trainable = False
    model(token_ids, training=True)
    moved = [name for name, x in learned().items() if np.any(x != new[name])]
    assert moved == ["probabilities/input", "probabilities/output"]
    before = learned()
    model.trainable = False
    model(token_ids[:1], training=True)
    for name, x in learned().items():
        np.testing.assert_array_equal(x, before[name], err_msg=name)
    model.trainable = True
    model(token_ids[:1], training=True)
    assert any("encoder_0" in name and np.any(x != before[name]) for name, x in learned().items())


@pytest.mark.slow
def test_saved_and_loaded_in_a_fresh_process(aware, token_ids, tmp_path):
    aware.save(tmp_path / "model.keras")
    np.save(tmp_path / "ids.npy", token_ids)
    arguments = [tmp_path / x for x in ("model.keras", "ids.npy", "out.npy")]
    subprocess.run([sys.executable, "-c", PREDICT, *map(str, arguments)], check=True)
    received = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(received, aware.predict(token_ids, verbose=0), atol=1e-6)


def test_the_file_computes_what_the_model_does(aware, exported, token_ids):
    received, _ = run_litert(exported, token_ids)
    with eagerly():
        expected = aware.predict(token_ids, verbose=0)
    assert np.abs(received - expected).max() < 0.03


@pytest.mark.slow
def test_the_file_has_the_operators_of_a_calibrated_one(aware, exported, data, tmp_path):
    path = tmp_path / "calibrated.tflite"
    export_litert(
        aware.without_quantization(),
        path,
        quantization="int8",
        calibration_data=data[0][:4],
        documents=["bright"],
        verbose=False,
    )
    learned, calibrated = (collections.Counter(Graph(x).operators[0]) for x in (exported, path))
    steps = [(x.pop("QUANTIZE"), x.pop("DEQUANTIZE")) for x in (learned, calibrated)]
    assert learned == calibrated
    assert steps[0] < steps[1]
    assert exported.stat().st_size < 1.05 * path.stat().st_size


def test_products_are_of_integers(exported):
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(exported))
    (subgraph,) = model.subgraphs
    floats = collections.Counter(
        flatbuffer_utils.opcode_to_name(model, x.opcodeIndex)
        for x in subgraph.operators
        if subgraph.tensors[x.outputs[0]].type == schema.TensorType.FLOAT32
    )
    assert floats["FULLY_CONNECTED"] == floats["GELU"] == 0
    assert floats["BATCH_MATMUL"] == 1  # the pooling's


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"factorization": "hierarchical"},
        {"factorization": "logsparse"},
        {"factorization": "axial_rowmajor"},
        {"factorization": "window"},
        {"rotary": True},
        {"num_key_value_heads": 1, "normalize_first": False},
        {"summary": "deepset"},
        {"summary": "max"},
    ],
    ids=lambda x: "_".join(map(str, x.values())),
)
def test_every_kind_of_attention(options, data, tmp_path):
    keras.utils.set_random_seed(0)
    if options.get("factorization"):
        options = {**options, "static_length": True}
    model = LongDocumentClassifier.from_texts(
        *data,
        sequence_length=40,
        num_layers=1,
        num_heads=2,
        hidden_dim=32,
        intermediate_dim=64,
        block_size=8,
        vocabulary_size=60,
        verbose=False,
        **options,
    )
    model.fit(*data, epochs=2, batch_size=8, verbose=0)
    aware = fine_tuned(quantization_aware(model), *data, epochs=2, batch_size=8, verbose=0)
    path = tmp_path / "model.tflite"
    export_litert(aware, path, quantization="int8", documents=["bright"], verbose=False)
    ids = aware.tokenizer(data[0][:8], aware.sequence_length).numpy()
    difference = np.abs(run_litert(path, ids)[0] - aware.predict(ids, verbose=0)).max()
    print(options, difference)
    assert difference < 0.06


def test_refuses_other_kinds_and_calibration(aware, tmp_path):
    path = tmp_path / "model.tflite"
    with pytest.raises(ValueError, match="without_quantization"):
        export_litert(aware, path, quantization="dynamic_int8")
    with pytest.raises(ValueError, match="leave `calibration_data` out"):
        export_litert(aware, path, quantization="int8", calibration_data=["bright"])
    assert not path.exists()


@pytest.mark.slow
def test_refuses_to_export_before_fit(classifier, tmp_path):
    path = tmp_path / "model.tflite"
    with pytest.raises(ValueError, match="`fit` it after"):
        export_litert(quantization_aware(classifier), path, quantization="int8")
    assert not path.exists()


def test_refuses_what_it_cannot_change(aware):
    with pytest.raises(TypeError, match="LongDocumentClassifier"):
        quantization_aware(keras.Sequential([keras.layers.Dense(2)]))
    with pytest.raises(ValueError, match="already"):
        quantization_aware(aware)


def test_refuses_what_keras_has_quantized(classifier):
    copy = LongDocumentClassifier.from_config(classifier.get_config())
    copy.backbone.get_layer("encoder_0").feedforward_output.quantize("int8")
    with pytest.raises(ValueError, match="quantized by Keras"):
        quantization_aware(copy)
