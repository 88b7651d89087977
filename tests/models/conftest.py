import keras
import pytest

from keras_combiner import LongDocumentClassifier
from tests.models import ten_texts, weather_and_tales


@pytest.fixture(scope="module")
def classifier():
    """Of weather and tales, untrained, of bytes. Tests must not change it."""
    keras.utils.set_random_seed(1)
    return weather_and_tales.make(tokenizer="bytes")


@pytest.fixture(scope="module")
def shared():
    """Tests must not train it."""
    return ten_texts.make()


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
