"""No tensor grows with the square of the length, unless the scores are asked for."""

import pytest
import tensorflow as tf

from keras_combiner.factorizations.summaries import SUMMARIES
from tests.every_pair import every_pair
from tests.factorizations.plans import COMPILED_ALIKE, GROWING, LearnedPlan

LENGTHS = (1024, 4096)  # four times as long: 4**1.5 = 8 times the work, 4**2 = 16 for quadratic


def largest_tensor(name, length, backward=False, masked=True, **options):
    """Elements of the largest tensor in the graph of attend(), functions in it included."""
    plan = LearnedPlan(GROWING[name](round(length**0.5)))
    heads = tf.TensorSpec([1, 2, length, 4])

    def attend(query, key, value, mask):
        with tf.GradientTape() as tape:
            tape.watch([query, key, value])
            results = plan.attend(
                query, key, value, padding_mask=mask if masked else None, **options
            )
        return tape.gradient(results, [query, key, value]) if backward else results

    function = tf.function(attend, autograph=False).get_concrete_function(
        heads, heads, heads, tf.TensorSpec([1, length], tf.bool)
    )
    graphs = [function.graph, *(f.graph for f in function.graph._functions.values())]
    outputs = [x for graph in graphs for op in graph.get_operations() for x in op.outputs]
    shapes = [x.shape for x in outputs]
    unknown = [x.name for x in outputs if not x.shape.is_fully_defined()]
    assert not unknown, unknown
    assert len(shapes) > 50
    return max(shape.num_elements() for shape in shapes)


def growth(name, **options):
    short, long = (largest_tensor(name, length, **options) for length in LENGTHS)
    return long / short


# Forward tensors are in the graph of the backward pass too.
@pytest.mark.slow
@every_pair(
    name=list(GROWING), summary=SUMMARIES, causal=[False, True], masked=[False, True], strength=2
)
def test_forward_alone_too(name, masked, causal, summary):
    assert growth(name, masked=masked, causal=causal, summary=summary) <= 8


@pytest.mark.parametrize(
    ("name", "summary"),
    [
        pytest.param(
            name,
            summary,
            id=f"{name}-{summary}",
            marks=() if summary == "max" and name not in COMPILED_ALIKE else pytest.mark.slow,
        )
        for name in GROWING
        for summary in SUMMARIES
    ],
)
def test_grows_like_length_to_the_power_of_one_and_a_half(name, summary):
    assert growth(name, backward=True, summary=summary) <= 8


@pytest.mark.parametrize(
    "name", [x if x == "fixed" else pytest.param(x, marks=pytest.mark.slow) for x in GROWING]
)
def test_the_measure_sees_the_scores(name):
    assert growth(name, return_attention_scores=True) >= 15
    assert largest_tensor(name, 1024, return_attention_scores=True) >= 2 * 1024**2
