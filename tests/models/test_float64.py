"""Models in float64: all of them is, and exports are in float32."""

import keras
import numpy as np
import pytest

from keras_combiner.export import export_litert, export_onnx, export_saved_model
from keras_combiner.export.checked_export import in_float32
from keras_combiner.models import LongDocumentClassifier

TEXTS = ["rain and wind", "kings of old", "a wet day", "long ago"]
TARGETS = {
    "single_label": ["weather", "tale", "weather", "tale"],
    "multi_label": [["wet"], ["old"], ["wet", "old"], []],
    "regression": [1.5, -2.0, 1.0, 0.25],
}


@pytest.fixture
def floatx64():
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")  # what a new process would take from it
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


def make(task="single_label", **options):
    keras.utils.set_random_seed(0)
    return LongDocumentClassifier.from_texts(
        TEXTS,
        TARGETS[task],
        task=task,
        sequence_length=32,
        tokenizer="bytes",
        verbose=False,
        num_layers=1,
        hidden_dim=16,
        intermediate_dim=16,
        num_heads=2,
        block_size=8,
        **options,
    )


@pytest.mark.parametrize(
    "task",
    [
        "regression",
        *(pytest.param(x, marks=pytest.mark.slow) for x in ("single_label", "multi_label")),
    ],
)
def test_all_of_a_classifier_follows_floatx(eager, task, floatx64, tmp_path):
    model = make(task)
    model.compile("adam", model.task.loss, metrics=model.task.metrics())
    targets = TARGETS[task]
    model.fit(TEXTS, targets, validation_data=(TEXTS, targets), batch_size=4, verbose=0)
    assert {x.dtype for x in model.weights} == {"float64"}
    outputs = model.predict(TEXTS, verbose=0)
    assert outputs.dtype == model.predict([]).dtype == "float64"
    copy = in_float32(model)
    assert {x.dtype for x in copy.weights} == {"float32"}
    rounded = copy.predict(TEXTS, verbose=0)
    assert rounded.dtype == "float32"
    np.testing.assert_allclose(rounded, outputs, rtol=1e-5, atol=1e-6)
    assert np.any(rounded != outputs)  # there were more digits
    model.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(TEXTS, verbose=0), outputs, rtol=0, atol=1e-14)


def test_mixed_precision_is_as_ever(eager, floatx64):
    model = make(dtype="mixed_bfloat16")
    assert {x.dtype for x in model.weights} == {"float32"}
    assert model.predict(TEXTS, verbose=0).dtype == "float32"
    assert in_float32(model, ("float64",)) is model
    copy = in_float32(model)
    assert {x.compute_dtype for x in copy.backbone.layers if x.weights} == {"float32"}
    for one, other in zip(copy.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert in_float32(copy) is copy


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [None, "mixed_bfloat16"])
def test_exports_are_in_float32(dtype, floatx64, tmp_path):
    model = make(dtype=dtype)
    reports = [
        export_saved_model(model, tmp_path / "1", documents=TEXTS, verbose=False),
        export_litert(model, tmp_path / "a.tflite", documents=TEXTS, verbose=False),
        export_onnx(model, tmp_path / "a.onnx", documents=TEXTS, verbose=False),
    ]
    # In bfloat16 it is the model that rounds.
    assert all(x.largest_difference < (1e-2 if dtype else 1e-6) for x in reports)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method:UserWarning")
def test_what_keras_has_quantized_is_refused_with_the_way(tmp_path):
    model = make()
    model.quantize("int8")
    words = r"`quantize\('int8'\)` of Keras.*export_saved_model takes.*Load the model as it was"
    for quantization in ("float32", "dynamic_int8", "int8"):
        with pytest.raises(ValueError, match=words + ".*quantization='dynamic_int8'"):
            export_litert(
                model,
                tmp_path / "a.tflite",
                quantization=quantization,
                calibration_data=TEXTS if quantization == "int8" else None,
            )
    with pytest.raises(ValueError, match=words):
        export_onnx(model, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())
