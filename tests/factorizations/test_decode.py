"""Decoding one token at a time gives what the whole sequence at once gives, at a smaller cost."""

import importlib.util
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from keras_combiner.factorizations import Fixed, Hierarchical, Logsparse, Window
from keras_combiner.factorizations.summaries import NONE, SUMMARIES
from tests import reference
from tests.every_pair import every_pair
from tests.factorizations.plans import COMPILED_ALIKE, PLANS, SIZE, LearnedPlan, few_examples

DECODING = {name: plan for name, plan in PLANS.items() if plan.decodes}
plans = pytest.mark.parametrize("plan", DECODING.values(), ids=DECODING)
summaries = pytest.mark.parametrize("summary", (*SUMMARIES, NONE))


def both(plan, shape, summary="max", dtype="float32", room=0, jit_compile=False, seed=0):
    """Outputs `[B, H, T, V]` of the tokens one after the other, and of all of them at once."""
    batch, num_heads, length, key_dim = shape
    arrays = [ops.cast(x, dtype) for x in reference.heads(shape, seed=seed)]
    value_dim = arrays[2].shape[3]
    weights = LearnedPlan(plan).learned(shape, value_dim, summary, seed)["weights"]
    whole = plan.attend(*arrays, causal=True, summary=summary, weights=weights)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def step(query, key, value, cache, position):
        return plan.decode(query, key, value, cache, position, summary, weights)

    sizes = (batch, num_heads, key_dim, value_dim, length + room)
    cache = plan.initial_cache(*sizes, dtype, summary)
    outputs = []
    for position in range(length):
        token = [x[:, :, position] for x in arrays]
        output, cache = step(*token, cache, tf.constant(position))
        assert output.dtype == arrays[2].dtype
        outputs.append(output)
    assert step.experimental_get_tracing_count() == 1
    return [np.array(ops.cast(x, "float32")) for x in (tf.stack(outputs, 2), whole)]


@every_pair(
    plan=DECODING,
    summary=(*SUMMARIES, NONE),
    length=[23, SIZE + 1, SIZE, 3, 2, 1],
    quick=1,
)
def test_equals_the_whole_sequence(plan, summary, length):
    np.testing.assert_allclose(*both(plan, (2, 1, length, 3), summary), atol=1e-5)


@few_examples
@given(
    plan=st.one_of(
        st.builds(
            lambda parts, part_size, neighbors, opened, first_blocks: Fixed(
                parts * part_size, part_size, neighbors, opened, first_blocks=first_blocks
            ),
            st.integers(1, 3),
            st.integers(1, 3),
            st.integers(0, 2),
            st.integers(0, 2),
            st.integers(0, 3),
        ),
        st.builds(Hierarchical, st.integers(2, 5)),
        st.just(Logsparse()),
        st.builds(Window, st.integers(1, 50)),
    ),
    length=st.integers(1, 40),
    room=st.integers(0, 30),
    summary=st.sampled_from((*SUMMARIES, NONE)),
    seed=st.integers(0, 99),
)
def test_equals_the_whole_sequence_at_any_size(plan, length, room, summary, seed):
    shape = (1 + seed % 2, 1 + seed % 3, length, 2)
    np.testing.assert_allclose(*both(plan, shape, summary, room=room, seed=seed), atol=1e-5)


@pytest.mark.slow
@plans
@summaries
def test_equals_the_whole_of_a_long_sequence(plan, summary):
    np.testing.assert_allclose(*both(plan, (1, 2, 257, 8), summary, room=5), atol=1e-5)


@pytest.mark.parametrize("name", ["fixed, finer parts", "logsparse", "hierarchical"])
def test_compiles(name):
    received, expected = both(DECODING[name], (2, 1, 11, 3), "gaussian", jit_compile=True)
    np.testing.assert_allclose(received, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["fixed, opened", "logsparse"])
def test_compiles_once_for_all_positions(name):
    plan, token = DECODING[name], np.zeros((1, 2, 4), "float32")

    @tf.function(jit_compile=True, autograph=False)
    def step(cache, position):
        return plan.decode(token, token, token, cache, position)[1]

    # XLA compiles anew for a position on which what it compiled depends.
    cache = plan.initial_cache(1, 2, 4, 4, max_length=20)
    first, second = (
        step.experimental_get_compiler_ir(cache, tf.constant(position))(stage="hlo")
        for position in (3, 4)
    )
    assert first == second


@every_pair(plan=DECODING, dtype=["float16", "bfloat16"], slow=COMPILED_ALIKE, quick=1)
def test_short_formats(plan, dtype):
    received, whole = both(plan, (2, 1, 23, 3), "gaussian", dtype)
    exact = np.array(plan.attend(*reference.heads((2, 1, 23, 3)), causal=True, summary="gaussian"))
    # No further from the float32 outputs than what the same format gives all at once, and a unit.
    unit = np.abs(exact).max() * (2.0**-10 if dtype == "float16" else 2.0**-7)
    assert np.abs(received - exact).max() <= np.abs(whole - exact).max() + unit


@plans
def test_a_position_may_be_an_int(plan):
    query, key, value = reference.heads((1, 2, 6, 4))
    whole = plan.attend(query, key, value, causal=True)
    cache = plan.initial_cache(1, 2, 4, value.shape[3], max_length=6)
    for position in range(6):
        token = (x[:, :, position] for x in (query, key, value))
        outputs, cache = plan.decode(*token, cache, position)
        np.testing.assert_allclose(outputs, whole[:, :, position], atol=1e-5)


@every_pair(plan=DECODING, slow=COMPILED_ALIKE)
def test_a_cache_can_be_the_state_of_a_loop(plan):
    arrays = [tf.constant(x) for x in reference.heads((1, 2, 9, 4))]
    value_dim = arrays[2].shape[3]

    @tf.function(autograph=False)
    def loop():
        def step(position, cache, outputs):
            token = (tf.gather(x, position, axis=2) for x in arrays)
            output, cache = plan.decode(*token, cache, position)
            return position + 1, cache, outputs.write(position, output)

        outputs = tf.TensorArray("float32", 9)
        state = (tf.constant(0), plan.initial_cache(1, 2, 4, value_dim, 9), outputs)
        return tf.while_loop(lambda position, *_: position < 9, step, state)[2].stack()

    whole = plan.attend(*arrays, causal=True)
    np.testing.assert_allclose(tf.transpose(loop(), (1, 2, 0, 3)), whole, atol=1e-5)


@plans
def test_a_cache_may_keep_a_shorter_format(plan):
    query, key, value = reference.heads((1, 2, 1, 4))
    cache = plan.initial_cache(1, 2, 4, value.shape[3], max_length=9, dtype="bfloat16")
    outputs, cache = plan.decode(query[:, :, 0], key[:, :, 0], value[:, :, 0], cache, 0)
    assert outputs.dtype == "float32" and cache["key"].dtype == "bfloat16"
    np.testing.assert_allclose(outputs, value[:, :, 0], rtol=2.0**-8)


# Sizes that suit a long text.
LONG = {
    "fixed": lambda length: Fixed(round(length**0.5)),
    "fixed, finer parts and neighbors": lambda length: Fixed(
        round(length**0.5), round(length**0.5) // 2, neighbors=1
    ),
    "logsparse": lambda length: Logsparse(),
    "hierarchical": lambda length: Hierarchical(16),
}
LENGTHS = (2**12, 2**16)  # the second is 16 times the first


def elements(cache):
    return sum(math.prod(x.shape) for x in cache.values())


def largest_computed_tensor(plan, length):
    """Elements of the largest tensor in the graph of a step that is not an entry of the cache."""
    cache = plan.initial_cache(1, 2, 4, 4, length)
    kept = {math.prod(x.shape) for name, x in cache.items() if not name.startswith("part_")}
    token = tf.TensorSpec([1, 2, 4])
    function = tf.function(
        lambda query, key, value, cache, position: plan.decode(
            query, key, value, cache, position, "variational"
        ),
        autograph=False,
    ).get_concrete_function(
        token,
        token,
        token,
        tf.nest.map_structure(tf.TensorSpec.from_tensor, cache),
        tf.TensorSpec([], tf.int32),
    )
    # Summaries of logsparse's larger blocks are in branches, which few tokens take.
    shapes = [x.shape for op in function.graph.get_operations() for x in op.outputs]
    assert len(shapes) > 30 and all(shape.is_fully_defined() for shape in shapes)
    return max(shape.num_elements() for shape in shapes if shape.num_elements() not in kept)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("fixed", 4.1),
        ("fixed, finer parts and neighbors", 4.1),
        ("hierarchical", 1.6),
    ],
)
def test_cache_grows_slower_than_the_length(name, most):
    short, long = (elements(LONG[name](n).initial_cache(1, 2, 4, 4, n)) for n in LENGTHS)
    assert long / short <= most


@pytest.mark.parametrize("plan", [plan for plan in DECODING.values() if plan.pools_parts])
def test_a_cache_keeps_variances_where_they_count(plan):
    sizes = (1, 2, 4, 4, 40)
    kept = {summary: set(plan.initial_cache(*sizes, summary=summary)) for summary in SUMMARIES}
    more = {name for name in kept["gaussian"] if name.endswith("variance")}
    assert len(more) == len([x for x in kept["gaussian"] if x.endswith("bias")]) > 0
    assert all(x == kept["gaussian"] - more for name, x in kept.items() if name != "gaussian")
    token = np.zeros((1, 2, 4), "float32")
    with pytest.raises(ValueError, match=r"made for another .* or summary.*'gaussian' expects"):
        plan.decode(token, token, token, plan.initial_cache(*sizes), 0, "gaussian")
    with pytest.raises(ValueError, match="`summary` must be one of"):
        plan.initial_cache(*sizes, summary="median")


def test_the_cache_of_logsparse_grows_like_the_length():
    short, long = (elements(Logsparse().initial_cache(1, 2, 4, 4, n)) for n in LENGTHS)
    assert 15.5 < long / short < 16


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("fixed", 4),
        ("fixed, finer parts and neighbors", 4),
        ("hierarchical", 1),
        ("logsparse", 1.4),
    ],
)
def test_what_a_step_computes_grows_slower_than_the_length(name, most):
    short, long = (largest_computed_tensor(LONG[name](n), n) for n in LENGTHS)
    assert long / short <= most


def test_positions_without_room_are_refused():
    token = np.zeros((1, 2, 4), "float32")
    for plan in DECODING.values():
        cache = plan.initial_cache(1, 2, 4, 4, max_length=10)
        for position in (10, -1, np.int64(11)):
            with pytest.raises(ValueError, match=r"between 0 and 9.*Received: position="):
                plan.decode(token, token, token, cache, position)


def test_wrong_sizes_and_missing_weights_are_refused():
    with pytest.raises(ValueError, match="`max_length` must be an int of at least 1"):
        Fixed(4).initial_cache(1, 2, 4, 4, max_length=0)
    with pytest.raises(ValueError, match="`max_length` must be an int of at least 1"):
        Logsparse().initial_cache(1, 2, 4, 4, max_length=None)
    with pytest.raises(ValueError, match="`batch_size` must be an int of at least 1"):
        Fixed(4).initial_cache(None, 2, 4, 4, max_length=5)
    token = np.zeros((1, 2, 4), "float32")
    cache = Fixed(4).initial_cache(1, 2, 4, 4, max_length=5)
    with pytest.raises(ValueError, match="'deepset_query_kernel' missing"):
        Fixed(4).decode(token, token, token, cache, 0, "deepset")
    with pytest.raises(ValueError, match="`summary` must be one of"):
        Fixed(4).decode(token, token, token, cache, 0, "median")


def test_caches_made_for_something_else_are_refused():
    token = np.zeros((1, 2, 4), "float32")
    cache = Fixed(4).initial_cache(1, 2, 4, 4, max_length=10)
    for nothing in ({}, None):
        with pytest.raises(ValueError, match="must be what `initial_cache` made"):
            Fixed(4).decode(token, token, token, nothing, 0)
    for plan, other in (
        (Fixed(2), token),
        (Logsparse(), token),
        (Fixed(4), np.zeros((3, 2, 4), "float32")),
        (Fixed(4), np.zeros((1, 1, 4), "float32")),
        (Fixed(4), np.zeros((1, 2, 5), "float32")),
    ):
        with pytest.raises(ValueError, match="another plan, batch, width or summary"):
            plan.decode(other, other, other, cache, 0)
    with pytest.raises(ValueError, match=r"one int for all sequences.*\(1,\)"):
        Fixed(4).decode(token, token, token, cache, np.zeros(1, "int32"))


@pytest.mark.parametrize("name", [name for name, plan in PLANS.items() if not plan.decodes])
def test_other_plans_name_those_that_decode(name):
    plan = PLANS[name]
    for attempt in (
        lambda: plan.initial_cache(1, 2, 4, 4, max_length=10),
        lambda: plan.decode(None, None, None, {}, 0),
    ):
        with pytest.raises(NotImplementedError, match="does not decode one token at a") as error:
            attempt()
        refused, _, named = str(error.value).partition(" does not ")
        assert refused == type(plan).__name__
        assert all(type(x).__name__ in named for x in DECODING.values())
        assert refused not in named


JAX_PROGRAM = """
import jax
import numpy as np
from keras_combiner.factorizations import Fixed, Hierarchical, Logsparse, Window
from tests import reference

arrays = reference.heads((1, 2, 11, 4))
for plan in (Fixed(4, part_size=2), Logsparse(), Hierarchical(3), Window(3)):
    whole = plan.attend(*arrays, causal=True, summary="variational")
    def step(cache, inputs):
        position, query, key, value = inputs
        outputs, cache = plan.decode(query, key, value, cache, position, "variational")
        return cache, outputs
    tokens = [np.moveaxis(x, 2, 0) for x in arrays]
    cache = plan.initial_cache(1, 2, 4, arrays[2].shape[3], max_length=11)
    scan = jax.jit(lambda cache, *inputs: jax.lax.scan(step, cache, inputs))
    _, outputs = scan(cache, np.arange(11), *tokens)
    np.testing.assert_allclose(np.moveaxis(outputs, 0, 2), whole, atol=1e-5)
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_scans_under_jit_on_jax():
    subprocess.run(
        [sys.executable, "-c", JAX_PROGRAM],
        env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
