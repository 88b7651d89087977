from tests import docstring_examples

# What other tests of this room export on every change, and README's.
SLOW = ("keras_combiner.export.saved_model", "keras_combiner.export.tf_serving")


@docstring_examples.every_module("export", slow=SLOW)
def test_examples_run(eager, name):
    docstring_examples.run(name)
