"""Files of classifiers: what comes back, what is refused, and that saving is all or nothing."""

import inspect
import os
import pathlib

import keras
import numpy as np
import pytest

from keras_combiner import LongDocumentClassifier
from keras_combiner.factorizations import Window
from tests.eagerly import eagerly
from tests.models.weather_and_tales import LABELS, TEXTS, make


def test_every_argument_comes_back(tmp_path):
    model = make(
        tokenizer="bytes",
        dropout=0.35,
        summary="mean",
        num_layers=2,
        factorization=[Window(4), "fixed"],
        use_causal_mask=True,
        dtype="mixed_bfloat16",
    )
    model.save(tmp_path / "x.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "x.keras")
    assert loaded.get_config() == model.get_config()
    assert loaded.dropout == 0.35
    assert len(loaded.backbone.arguments["factorization"]) == 2
    np.testing.assert_array_equal(loaded.predict(TEXTS, verbose=0), model.predict(TEXTS, verbose=0))
    names = set(inspect.signature(LongDocumentClassifier.__init__).parameters)
    assert names - {"self", "kwargs"} <= set(model.get_config())


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.slow
def test_quantized_models_are_saved_as_they_are(mode, tmp_path):
    model = make(tokenizer="bytes")
    before = model.predict(TEXTS, verbose=0)
    model.fit(TEXTS, LABELS, verbose=0)
    optimizer = model.optimizer
    model.save(tmp_path / "float32.keras")
    assert model.optimizer is optimizer
    model.quantize(mode)
    expected = model.predict(TEXTS, verbose=0)
    assert np.abs(expected - before).max() > 1e-6
    model.save(tmp_path / "short.keras")
    assert (tmp_path / "short.keras").stat().st_size < (tmp_path / "float32.keras").stat().st_size
    loaded = LongDocumentClassifier.load(tmp_path / "short.keras")
    assert loaded.get_layer("probabilities").quantization_mode == mode
    np.testing.assert_array_equal(loaded.predict(TEXTS, verbose=0), expected)


def test_the_state_of_the_own_recipe_is_not_saved(eager, tmp_path):
    model = make(tokenizer="bytes")
    model.save(tmp_path / "before.keras")
    model.fit(TEXTS, LABELS, verbose=0)
    model.save(tmp_path / "after.keras")
    before, after = ((tmp_path / f"{x}.keras").stat().st_size for x in ("before", "after"))
    assert after < 1.1 * before


def test_save_refuses(classifier, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.keras.*model\.h5"):
        classifier.save(tmp_path / "model.h5")
    path = tmp_path / "model.keras"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        classifier.save(path, overwrite=False)
    assert path.read_text() == "precious"
    classifier.save(path)
    assert LongDocumentClassifier.load(path).labels == classifier.labels


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("where", ["while writing", "while renaming"])
def test_save_is_whole_or_nothing(classifier, where, existing, tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    if existing:
        path.write_text("precious")

    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    if where == "while writing":
        save = keras.Model.save

        def half(self, filepath, **kwargs):
            save(self, filepath, **kwargs)
            content = pathlib.Path(filepath).read_bytes()
            pathlib.Path(filepath).write_bytes(content[: len(content) // 2])
            fail()

        monkeypatch.setattr(keras.Model, "save", half)
    else:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        classifier.save(path)
    assert [x.name for x in tmp_path.iterdir()] == (["model.keras"] if existing else [])
    if existing:
        assert path.read_text() == "precious"


def test_load_refuses(classifier, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected a \.keras file.*nowhere\.keras"):
        LongDocumentClassifier.load(tmp_path / "nowhere.keras")
    with pytest.raises(FileNotFoundError, match=r"none at .*model\.keras"):
        LongDocumentClassifier.load(tmp_path)
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match=r"holds a Sequential, not a LongDocumentClassifier"):
        LongDocumentClassifier.load(tmp_path / "other.keras")
    (tmp_path / "broken.keras").write_text("not a zip")
    with pytest.raises(ValueError, match=r"broken\.keras"):
        LongDocumentClassifier.load(tmp_path / "broken.keras")


@pytest.mark.slow
def test_checkpoint_callback_saves_models_that_load(eager, tmp_path):
    model = make(tokenizer="bytes")
    path = tmp_path / "best.keras"
    checkpoint = keras.callbacks.ModelCheckpoint(path, monitor="loss", save_best_only=True)
    model.fit(TEXTS, LABELS, epochs=2, verbose=0, callbacks=[checkpoint])
    assert LongDocumentClassifier.load(path).labels == model.labels


@pytest.mark.slow
def test_a_plan_of_static_length(tmp_path):
    model = make(tokenizer="bytes", factorization="axial_vertical", static_length=True)
    assert model.input_shape == (None, 24)
    with eagerly():
        model.fit(TEXTS, LABELS, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    with eagerly():
        np.testing.assert_allclose(loaded.predict(TEXTS), model.predict(TEXTS), atol=1e-6)
        assert len(model.classify(TEXTS)) == 4


@pytest.mark.slow  # of the default plan, a model of one length is exported on every change
def test_a_plan_of_static_length_is_exported(tmp_path):
    model = make(tokenizer="bytes", factorization="axial_vertical", static_length=True)
    report = model.export_saved_model(tmp_path / "export", documents=TEXTS, verbose=False)
    assert report.agreement == 1
