"""The contract of every plan: it is what its support says, and what must not matter does not."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner import factorizations
from keras_combiner.factorizations import (
    AxialHorizontal,
    AxialRowmajor,
    AxialVertical,
    Factorization,
    Fixed,
    Hierarchical,
    Logsparse,
    Mixture,
    Routing,
    Window,
    factorization,
)
from keras_combiner.factorizations.summaries import SUMMARIES
from tests import reference
from tests.every_pair import every_pair
from tests.factorizations import plans
from tests.factorizations.gradients import check_gradients
from tests.factorizations.plans import (
    COMPILED_ALIKE,
    LEARNED_PLANS,
    PLANS,
    SIZE,
    VARIANTS,
    LearnedPlan,
    compiled_plans,
    distinct_plans,
    every_plan,
    few_examples,
)

summaries = pytest.mark.parametrize("summary", SUMMARIES)
both_ways = pytest.mark.parametrize("causal", [False, True])
# What a variant computes is judged for all of them; what must not matter to it, by the slow tests.
variants_slowly = pytest.mark.parametrize(
    "plan",
    [
        pytest.param(plan, marks=pytest.mark.slow if name in VARIANTS else (), id=name)
        for name, plan in LEARNED_PLANS.items()
    ],
)
EVERY_WAY = {"plan": LEARNED_PLANS, "summary": SUMMARIES, "causal": [False, True]}
# Of what must not matter, every distinct plan and every summary are tried once on every change.
ONCE = {"slow": VARIANTS, "quick": 1}
LENGTHS = [1, 2, SIZE - 1, SIZE, SIZE + 1, 6, 16, 23]


def positions(part):
    """All positions of a part, its children's included."""
    if isinstance(part, factorization.CellPart):
        return list(part.positions)
    return [j for x in part for j in (positions(x) if isinstance(x, tuple) else [x])]


def covered(support):
    """All positions that a query attends to, sorted; twice if it attends to one twice."""
    return sorted([*support.direct, *(j for part in support.parts for j in positions(part))])


def single_supports(plan, support):
    """`(plan, support)` of every member of a mixture; of any other plan, the pair itself."""
    if isinstance(support, factorization.MixedSupport):
        pairs = zip(plan.plans, support.members, strict=True)
        return [x for pair in pairs for x in single_supports(*pair)]
    return [(plan, support)]


def visible(plan, mask, causal):
    """bool [M, B, T, T]: what counts and is covered, by each of the M members of a plan."""
    length = mask.shape[1]
    rows = [single_supports(plan.plan, x) for x in plan.support(length, causal)]
    seen = np.array([[np.isin(range(length), covered(x)) for _, x in row] for row in rows])
    return mask[:, np.newaxis] & np.swapaxes(seen, 0, 1)[:, np.newaxis]


def sums_of_rows(seen):
    """[B, 1, T]: a member where a query has nothing in sight adds zero to the average."""
    return seen.any(-1).mean(0)[:, np.newaxis]


def every_padding(length, seed=0):
    """[5, length], a row of every kind of padding, the last all padding."""
    kinds = ("right", "left", "scattered")
    rows = [reference.padding_mask(kind, 1, length, seed) for kind in kinds]
    return np.concatenate([np.ones((1, length), bool), *rows, np.zeros((1, length), bool)])


def check(plan, arrays, mask, causal, summary, tolerance=1e-5):
    arguments = (*arrays, mask, causal, summary)
    expected = reference.attend(plan, *arguments)
    received = plan.attend(*arguments, return_attention_scores=True)
    for name, x, y in zip(("outputs", "scores"), received, expected, strict=True):
        np.testing.assert_allclose(x, y, atol=tolerance, err_msg=name)
    return [np.array(x) for x in received]


@every_plan
@given(length=st.integers(0, 70), causal=st.booleans())
def test_every_position_is_covered_exactly_once(plan, length, causal):
    supports = plan.support(length, causal)
    assert len(supports) == length
    for i, mixed in enumerate(supports):
        for single, support in single_supports(plan.plan, mixed):
            assert all(positions(part) for part in support.parts), "no part is empty"
            found, every = covered(support), list(range(i + 1 if causal else length))
            assert i in support.direct
            if single.covers_all:
                assert found == every
            else:
                assert len(set(found)) == len(found), "nothing is covered twice"
                assert set(found) <= set(every)


@every_plan
def test_a_plan_that_does_not_cover_all_says_so(plan):
    blind = [single.covers_all for single, _ in single_supports(plan.plan, plan.support(64)[0])]
    assert plan.plan.covers_all is any(blind)
    far = [covered(x) != [*range(64)] for _, x in single_supports(plan.plan, plan.support(64)[0])]
    assert far == [not covers for covers in blind]


@every_pair(**EVERY_WAY, length=LENGTHS)
def test_equals_the_reference(plan, length, causal, summary):
    arrays = reference.heads((2, 2, length, 4), value_dim=3, seed=length)
    check(plan, arrays, None, causal, summary)
    arrays = reference.heads((5, 1, length, 4), value_dim=3, seed=length)
    check(plan, arrays, every_padding(length, seed=length), causal, summary)


@every_pair(**EVERY_WAY, **ONCE, masked=[False, True])
def test_asking_for_scores_does_not_matter(plan, masked, causal, summary):
    arrays = reference.heads((5, 1, 13, 4), value_dim=3)
    arguments = (*arrays, every_padding(13) if masked else None, causal, summary)
    outputs, _ = plan.attend(*arguments, return_attention_scores=True)
    np.testing.assert_allclose(plan.attend(*arguments), outputs, atol=1e-6)


@every_plan
@few_examples
@given(
    length=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.1, 0.5, 0.9]),
    causal=st.booleans(),
    summary=st.sampled_from(SUMMARIES),
)
def test_any_length_and_mask_equals_the_reference(plan, length, seed, share, causal, summary):
    arrays = reference.heads((2, 1, length, 3), value_dim=2, seed=seed)
    mask = np.random.default_rng(seed).random((2, length)) < share
    outputs, scores = check(plan, arrays, mask, causal, summary)
    by_member = visible(plan, mask, causal)
    seen = by_member.any(0)[:, np.newaxis]
    assert scores.min() >= 0
    assert not scores[~seen].any()
    assert (scores[seen] > 0).all(), "every token of the support keeps a weight"
    np.testing.assert_allclose(scores.sum(-1), sums_of_rows(by_member), atol=1e-5)
    assert not outputs[~seen.any(-1)].any()


@pytest.mark.slow
@every_pair(**EVERY_WAY, strength=2, length=[59, 1000])
def test_equals_the_reference_at_length(plan, length, causal, summary):
    arrays = reference.heads((1, 1, length, 8), seed=3)
    mask = reference.padding_mask("scattered", 1, length, seed=3)
    check(plan, arrays, mask, causal, summary)


@every_pair(**EVERY_WAY, **ONCE)
def test_gradients_equal_finite_differences(plan, causal, summary):
    mask = np.array([[1, 1, 0, 1, 1, 1, 0, 0, 1, 1]], bool)
    check_gradients(plan, reference.heads((1, 1, 10, 2), 1, seed=1), mask, causal, summary)


@pytest.mark.slow
@every_pair(**EVERY_WAY, strength=2, kind=["none", "right", "left", "all"], length=[1, 7, 14])
def test_gradients_of_many_shapes(plan, length, kind, causal, summary):
    batch = 2 if kind == "all" else 1
    arrays = reference.heads((batch, 1, length, 2), value_dim=1, seed=1)
    mask = reference.padding_mask(kind, batch, length, seed=2)
    check_gradients(plan, arrays, mask, causal, summary)


@every_pair(**ONCE, plan=LEARNED_PLANS, summary=SUMMARIES, masked=[False, True])
def test_the_future_does_not_leak(plan, masked, summary):
    length, changed = 19, (0, 3, 4, 9, 18)
    arrays = reference.heads((5, 1, length, 4))
    arrays = [*arrays, plan.learned(arrays[0].shape, 4)["inputs"]]
    changes = (100, 100, 100, np.arange(plans.INPUT_DIM))
    # Every version of the documents is computed in one call.
    versions = [np.stack([x] * (1 + len(changed))) for x in arrays]
    for version, position in enumerate(changed, start=1):
        for x, change in zip(versions, changes, strict=True):
            x[version][..., position, :] -= change
    mask = every_padding(length, seed=3) if masked else None
    outputs = attend_versions(plan, versions, mask, causal=True, summary=summary)
    for after, position in zip(outputs[1:], changed, strict=True):
        np.testing.assert_allclose(after[:, :, :position], outputs[0][:, :, :position], atol=1e-6)
        assert np.abs(after[:, :, position:] - outputs[0][:, :, position:]).max() > 1e-3


def attend_versions(plan, versions, mask, **options):
    """Outputs `[N, B, H, T, V]` of N versions of query, key, value and inputs `[N, B, ...]`."""
    *heads, inputs = [x.reshape(-1, *x.shape[2:]) for x in versions]
    if mask is not None:
        mask = np.concatenate([mask] * len(versions[0]))
    outputs = plan.attend(*heads, padding_mask=mask, inputs=inputs, **options)
    return np.array(outputs).reshape(*versions[0].shape[:2], *outputs.shape[1:])


@every_pair(**ONCE, **EVERY_WAY)
def test_what_padding_holds_does_not_matter(plan, causal, summary):
    length, fills = 19, (1e4, -1e4, 0.0)
    arrays = reference.heads((5, 1, length, 4))
    mask = every_padding(length)
    counts = mask[:, np.newaxis, :, np.newaxis]
    filled = [np.stack([x, *(np.where(counts, x, np.float32(y)) for y in fills)]) for x in arrays]
    inputs = plan.learned(arrays[0].shape, 4)["inputs"]
    filled_inputs = [np.where(mask[:, :, np.newaxis], inputs, np.float32(y)) for y in fills]
    versions = [*filled, np.stack([inputs, *filled_inputs])]
    outputs = attend_versions(plan, versions, mask, causal=causal, summary=summary)
    assert np.isfinite(outputs[1:]).all()
    expected = np.where(counts, outputs[:1], 0)
    np.testing.assert_allclose(
        np.where(counts, outputs[1:], 0), np.broadcast_to(expected, outputs[1:].shape), atol=1e-5
    )


@every_pair(**EVERY_WAY, **ONCE, sizes=[(1, 1), (3, 9), (6, 2), (8, 5), (13, 20)])
def test_how_much_right_padding_there_is_does_not_matter(plan, sizes, causal, summary):
    length, more = sizes
    arrays = reference.heads((1, 2, length, 3), seed=length)
    expected = plan.attend(*arrays, causal=causal, summary=summary)
    wider = [(0, 0), (0, 0), (0, more), (0, 0)]
    padded = [np.pad(x, wider, constant_values=7.0) for x in arrays]
    mask = np.arange(length + more)[np.newaxis] < length
    outputs = plan.attend(*padded, padding_mask=mask, causal=causal, summary=summary)
    np.testing.assert_allclose(np.array(outputs)[:, :, :length], expected, atol=1e-5)


@every_pair(**EVERY_WAY, **ONCE)
def test_padding_does_not_drown_logits_far_below_zero(plan, causal, summary):
    length, more = 13, 11
    query, key, value = reference.heads((1, 2, length, 4))
    arrays = (30.0 + query, key - 30.0, value)  # logits near -1,800: those of zeros would win
    expected = plan.attend(*arrays, causal=causal, summary=summary)
    wider = [(0, 0), (0, 0), (0, more), (0, 0)]
    padded = [np.pad(x, wider, constant_values=7.0) for x in arrays]
    mask = np.arange(length + more)[np.newaxis] < length
    outputs = plan.attend(*padded, padding_mask=mask, causal=causal, summary=summary)
    np.testing.assert_allclose(np.array(outputs)[:, :, :length], expected, rtol=1e-4, atol=1e-4)


@every_pair(**EVERY_WAY, **ONCE, dtype=["float32", "bfloat16", "float16"])
def test_logits_of_ten_thousand_are_finite(plan, dtype, causal, summary):
    length = 13
    mask = every_padding(length)
    generator = np.random.default_rng(0)
    # Logits are multiples of 50, up to 2e4: exact in float32 and float16.
    query, key = (10.0 * generator.integers(-10, 11, size=(5, 2, length, 4)) for _ in "qk")
    arrays = (query, key, generator.normal(size=(5, 2, length, 3)))
    variables = [tf.Variable(tf.cast(x, dtype)) for x in arrays]
    with tf.GradientTape() as tape:
        outputs, scores = plan.attend(
            *variables,
            padding_mask=mask,
            causal=causal,
            summary=summary,
            return_attention_scores=True,
        )
        loss = tf.reduce_sum(tf.cast(outputs, "float32"))
    assert outputs.dtype == scores.dtype == dtype
    for x in (outputs, scores, *tape.gradient(loss, variables)):
        assert np.isfinite(tf.cast(x, "float32")).all()
    sums = np.broadcast_to(sums_of_rows(visible(plan, mask, causal)), scores.shape[:3])
    received = tf.reduce_sum(tf.cast(scores, "float32"), -1)
    np.testing.assert_allclose(received, sums, atol=1e-5 if dtype == "float32" else 2e-2)


@every_pair(**EVERY_WAY, **ONCE, dtype=["bfloat16", "float16"])
def test_short_formats_stay_near_the_reference(plan, dtype, causal, summary):
    length = 13
    mask = every_padding(length)
    arrays = [tf.cast(x, dtype) for x in reference.heads((5, 1, length, 4))]
    variables = [tf.Variable(x) for x in arrays]
    with tf.GradientTape() as tape:
        outputs = plan.attend(*variables, padding_mask=mask, causal=causal, summary=summary)
        loss = tf.reduce_sum(tf.cast(outputs, "float32"))
    rounded = [tf.cast(x, "float64").numpy() for x in arrays]
    expected, _ = reference.attend(plan, *rounded, mask, causal, summary)
    # A few roundings of logits and outputs of size up to 4: 2**-8 each in bfloat16.
    tolerance = {"float16": 1e-2, "bfloat16": 8e-2}[dtype]
    close = reference.close_choices(plan, *rounded[:2], mask, causal, summary, tolerance / 2)
    assert close[:4].mean() < 0.5  # the last row is padding alone
    assert plan.plan.chooses or plan.plan.plans or not close.any()
    np.testing.assert_allclose(
        tf.cast(outputs, "float64").numpy()[~close], expected[~close], atol=tolerance
    )
    assert not tf.cast(outputs, "float32")[4].numpy().any(), "a row of padding gives zeros"
    taught = [tf.cast(x, "float32")[4].numpy() for x in tape.gradient(loss, variables)]
    assert not any(x.any() for x in taught), "and teaches nothing"


@compiled_plans
def test_xla_equals_eager(plan, causal):
    check_xla(plan, causal, "gaussian" if causal else "max")


@pytest.mark.slow
@every_pair(**EVERY_WAY, strength=2)
def test_xla_equals_eager_in_every_way(plan, causal, summary):
    check_xla(plan, causal, summary)


def check_xla(plan, causal, summary):
    length = 11
    arrays = reference.heads((5, 1, length, 3))
    mask = every_padding(length)
    upstream = np.random.default_rng(0).normal(size=arrays[2].shape).astype("float32")

    def attend_and_differentiate(*arrays):
        with tf.GradientTape() as tape:
            tape.watch(arrays)
            outputs, scores = plan.attend(
                *arrays,
                padding_mask=mask,
                causal=causal,
                summary=summary,
                return_attention_scores=True,
            )
        return outputs, scores, *tape.gradient(outputs, arrays, output_gradients=upstream)

    arrays = [tf.constant(x) for x in arrays]
    compiled = tf.function(attend_and_differentiate, jit_compile=True, autograph=False)(*arrays)
    for received, expected in zip(compiled, attend_and_differentiate(*arrays), strict=True):
        np.testing.assert_allclose(received, expected, atol=1e-5)


@every_plan
@both_ways
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(0, 2, 7, 3), (2, 2, 0, 3), (0, 2, 0, 3)])
def test_nothing_in_nothing_out(plan, shape, masked, causal):
    arrays = [np.zeros(shape, "float32")] * 3
    mask = np.zeros((shape[0], shape[2]), bool) if masked else None
    assert plan.attend(*arrays, padding_mask=mask, causal=causal).shape == shape


@every_pair(slow=COMPILED_ALIKE, quick=1, plan=LEARNED_PLANS, summary=SUMMARIES)
def test_an_empty_batch_of_unknown_size(plan, summary):
    def attend(*arrays):
        inputs = tf.ones((tf.shape(arrays[0])[0], 9, plans.INPUT_DIM))
        return plan.attend(*arrays, summary=summary, inputs=inputs)

    signature = [tf.TensorSpec([None, 2, 9, 3])] * 3
    compiled = tf.function(attend, input_signature=signature, autograph=False)
    assert compiled(*[tf.zeros((0, 2, 9, 3))] * 3).shape == (0, 2, 9, 3)
    arrays = reference.heads((2, 2, 9, 3))
    np.testing.assert_allclose(compiled(*arrays), attend(*arrays), atol=1e-6)


@every_plan
def test_dropout_is_applied_to_all_weights_but_not_to_the_scores(plan):
    arrays = reference.heads((1, 2, 9, 2))
    outputs, scores = plan.attend(
        *arrays, dropout=lambda weights: weights * 0, return_attention_scores=True
    )
    assert not np.array(outputs).any()
    _, expected = plan.attend(*arrays, return_attention_scores=True)
    np.testing.assert_array_equal(scores, expected)


@variants_slowly
def test_a_length_that_is_not_known_is_refused_or_served(plan):
    @tf.function(input_signature=[tf.TensorSpec([None, 2, None, 3])] * 3, autograph=False)
    def attend(*arrays):
        return plan.attend(*arrays)

    arrays = reference.heads((1, 2, 9, 3))
    if plan.plan.any_length:
        np.testing.assert_allclose(attend(*arrays), plan.attend(*arrays), atol=1e-6)
    else:
        with pytest.raises(ValueError, match="fixes its pattern at a static length"):
            attend(*arrays)


@every_plan
def test_the_config_gives_the_plan_back(plan):
    plan = plan.plan
    copy = type(plan).from_config(plan.get_config())
    assert copy.support(23, causal=True) == plan.support(23, causal=True)
    assert copy.get_config() == plan.get_config()


@pytest.mark.parametrize(
    ("plan", "length"),
    [
        (Fixed(30), 13),
        (Fixed(8, part_size=2, neighbors=2), 13),
        (Fixed(8, neighbors=100), 13),
        (Logsparse(), 2),
        (Hierarchical(13), 13),
        (Hierarchical(64), 13),
        (AxialVertical(13), 13),
        (AxialVertical(64), 13),
        (AxialHorizontal(1), 13),
        (AxialHorizontal(64), 13),
        (AxialRowmajor(64), 13),
        (AxialRowmajor(64, "proj"), 13),
        (Routing(13, num_clusters=1), 13),
        (Routing(64, num_clusters=1), 13),
        (Window(24), 13),
        (Mixture(["fixed", "axial_rowmajor"]), 13),
    ],
    ids=lambda x: type(x).__name__,
)
@summaries
def test_without_parts_is_softmax_attention(plan, length, summary):
    plan = LearnedPlan(plan)
    query, key, value = reference.heads((2, 2, length, 4))
    logits = query.astype("float64") @ np.swapaxes(key, 2, 3) / 2
    for causal in (False, True):
        weights = np.exp(logits) * (np.tri(length) if causal else 1)
        weights /= weights.sum(-1, keepdims=True)
        outputs = plan.attend(query, key, value, causal=causal, summary=summary)
        np.testing.assert_allclose(outputs, weights @ value, atol=1e-5)


def test_every_kind_of_plan_is_in_the_list():
    public = [getattr(factorizations, name) for name in factorizations.__all__]
    kinds = {x for x in public if isinstance(x, type) and issubclass(x, Factorization)}
    assert kinds - {Factorization} == {type(x) for x in PLANS.values()}


@every_plan
@summaries
def test_what_learns_without_gradients_says_so(plan, summary):
    specs = plan.plan.all_weight_specs(summary, 2, 4, 3, plans.INPUT_DIM)
    moved = {name for name, spec in specs.items() if not spec.trainable}
    assert plan.plan.learns_without_gradients is bool(moved)
    _, key, _ = reference.heads((1, 2, 9, 4))
    weights = plan.learned((1, 2, 9, 4), 3, summary)["weights"]
    assert set(plan.plan.updated_weights(weights, key)) == moved


@both_ways
@distinct_plans
def test_float64_is_computed_in_float64(plan, causal):
    heads = [x.astype("float64") for x in reference.heads((2, 1, 13, 2), seed=5)]
    mask = reference.padding_mask("scattered", 2, 13)
    for summary in ("mean", "variational", "gaussian"):
        learned = plan.learned(heads[0].shape, heads[2].shape[3], summary)
        outputs, scores = plan.attend(
            *heads,
            mask,
            causal,
            summary,
            weights={name: x.astype("float64") for name, x in learned["weights"].items()},
            inputs=learned["inputs"].astype("float64"),
            return_attention_scores=True,
        )
        expected_outputs, expected_scores = reference.attend(plan, *heads, mask, causal, summary)
        np.testing.assert_allclose(outputs, expected_outputs, atol=1e-13, err_msg=summary)
        np.testing.assert_allclose(scores, expected_scores, atol=1e-13, err_msg=summary)
