from tests import docstring_examples

# What other tests of this room export on every change.
SLOW = ("saved_model", "tf_serving", "onnx")


@docstring_examples.every_module("export", slow=[f"keras_combiner.export.{x}" for x in SLOW])
def test_examples_run(eager, name):
    docstring_examples.run(name)
