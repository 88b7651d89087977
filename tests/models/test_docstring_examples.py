from tests import docstring_examples

# README's lines train such a classifier on every change, and `pretrain` such a language model.
SLOW = ("long_document_classifier", "combiner_masked_lm", "quantization_aware")


@docstring_examples.every_module("models", slow=[f"keras_combiner.models.{x}" for x in SLOW])
def test_examples_run(eager, name):
    docstring_examples.run(name)
