"""Runs the examples in the docstrings of a room of the package."""

import doctest
import importlib
import importlib.util
from pathlib import Path

import pytest

import keras_combiner

PACKAGE = Path(keras_combiner.__file__).parent
# What examples of these modules need is not always installed.
NEEDED = {"keras_combiner.convert.scaffold_attention": "tf_keras"}


def modules(room=""):
    """Names of a room's modules that have examples; of the files beside the rooms if it is "".

    >>> modules("layers")[0]
    'keras_combiner.layers.combiner_attention'
    """
    folder = PACKAGE / room
    names = []
    for path in sorted(folder.rglob("*.py") if room else folder.glob("*.py")):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        if ">>>" in path.read_text() and importlib.util.find_spec(NEEDED.get(name, "keras")):
            names.append(name.removesuffix(".__init__"))
    return names


def every_module(room, slow):
    """Parametrizes a test over `modules(room)`; the slow tests alone have those of `slow`."""
    names = modules(room)
    return pytest.mark.parametrize(
        "name", [pytest.param(x, marks=pytest.mark.slow) if x in slow else x for x in names]
    )


def run(name):
    """Runs a module's examples."""
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
