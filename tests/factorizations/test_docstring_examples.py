"""The examples of the docstrings, in every module of these packages, run."""

import doctest
import importlib
import importlib.util
import pkgutil

import pytest

PACKAGES = ("factorizations", "layers", "models", "convert", "optimization", "export")
# Modules that need what is not always installed.
OPTIONAL = {"keras_combiner.convert.scaffold_attention": "tf_keras"}


def modules():
    for name in PACKAGES:
        package = importlib.import_module(f"keras_combiner.{name}")
        yield package.__name__
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            needed = OPTIONAL.get(module.name)
            if needed is None or importlib.util.find_spec(needed):
                yield module.name


MODULES = list(modules())


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_examples_were_found():
    assert len(MODULES) >= 20
    finder = doctest.DocTestFinder(exclude_empty=True)
    with_examples = {
        name
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
        if test.examples
    }
    classes = {
        "factorizations.axial_horizontal",
        "factorizations.axial_rowmajor",
        "factorizations.axial_vertical",
        "factorizations.fixed",
        "factorizations.hierarchical",
        "factorizations.logsparse",
        "factorizations.mixture",
        "factorizations.factorization",
        "layers.combiner_attention",
        "layers.combiner_encoder",
        "layers.gelu_approximate",
        "layers.masked_average_pooling",
        "layers.token_and_position_embedding",
        "models.combiner_backbone",
        "models.long_document_classifier",
        "models.token_evidence",
        "convert.positions",
        "convert.use_combiner",
        "export.litert",
        "export.next_version",
        "export.saved_model",
        "export.tf_serving",
        "factorizations.products",
        "optimization.magnitude_pruning",
        "optimization.quantization_aware",
        "optimization.weight_clustering",
    }
    assert {f"keras_combiner.{name}" for name in classes} <= with_examples
