import keras
import pytest

from keras_combiner import LongDocumentClassifier
from tests.models.ten_texts import make


@pytest.fixture(scope="module")
def shared():
    """Tests must not train it."""
    return make()


@pytest.fixture(scope="module")
def windowed(shared):
    model = LongDocumentClassifier.from_config({**shared.get_config(), "long_texts": "windows"})
    model.set_weights(shared.get_weights())
    return model


@pytest.fixture
def fits(monkeypatch):
    """What reaches Keras's own `fit`, which then does nothing: list of dict."""
    received = []

    def fit(self, x=None, y=None, **kwargs):
        received.append({"x": x, "y": y, **kwargs})

    monkeypatch.setattr(keras.Model, "fit", fit)
    return received
