from tests import docstring_examples

# Other tests of this room, and README's lines, train with these callbacks on every change.
SLOW = ("magnitude_pruning", "weight_clustering")


@docstring_examples.every_module(
    "optimization", slow=[f"keras_combiner.optimization.{x}" for x in SLOW]
)
def test_examples_run(eager, name):
    docstring_examples.run(name)
