from tests import docstring_examples

# README's lines have this callback on every change.
SLOW = ("keras_combiner.optimization.magnitude_pruning",)


@docstring_examples.every_module("optimization", slow=SLOW)
def test_examples_run(eager, name):
    docstring_examples.run(name)
