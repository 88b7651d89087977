"""The plans that the contract is run for: a new plan is one line here."""

import re

import numpy as np
import pytest
from hypothesis import settings

from keras_combiner.factorizations import (
    AxialHorizontal,
    AxialRowmajor,
    AxialVertical,
    Fixed,
    Hierarchical,
    Logsparse,
    Mixture,
    Routing,
    Window,
)

SIZE = 4  # the block size or grid width of every plan below that has one

# The plan that the contract is run for, and what makes it with a block size (or grid width) that
# suits a long text, near the square root of its length; None where another row grows alike.
TABLE = {
    "fixed": (Fixed(SIZE), Fixed),
    "fixed, finer parts": (Fixed(SIZE, part_size=2), None),
    "fixed, neighbors": (Fixed(SIZE, neighbors=1), None),
    "fixed, finer parts and neighbors": (
        Fixed(2, part_size=1, neighbors=3),
        lambda size: Fixed(size, size // 2, neighbors=1),
    ),
    "fixed, opened": (Fixed(SIZE, part_size=2, opened=2), None),
    "fixed, opened by every query": (Fixed(SIZE, part_size=1, opened=2, choice_size=1), None),
    "fixed, opened beyond neighbors": (
        Fixed(SIZE, part_size=2, neighbors=1, opened=1, choice_size=2),
        lambda size: Fixed(size, size // 2, neighbors=1, opened=2),
    ),
    "fixed, first blocks": (
        Fixed(SIZE, first_blocks=1),
        lambda size: Fixed(size, first_blocks=2),
    ),
    "fixed, many first blocks": (Fixed(2, first_blocks=4), None),
    "fixed, many first blocks and opened": (
        Fixed(2, part_size=1, opened=1, first_blocks=3),
        None,
    ),
    "fixed, first blocks and opened": (
        Fixed(SIZE, part_size=2, neighbors=1, opened=1, first_blocks=2),
        lambda size: Fixed(size, size // 2, neighbors=1, opened=2, first_blocks=2),
    ),
    "logsparse": (Logsparse(), lambda size: Logsparse()),
    "hierarchical": (Hierarchical(SIZE), lambda size: Hierarchical(16)),
    "hierarchical, binary": (Hierarchical(2), None),
    "axial_vertical": (AxialVertical(SIZE), AxialVertical),
    "axial_horizontal": (AxialHorizontal(SIZE), AxialHorizontal),
    "axial_rowmajor": (AxialRowmajor(SIZE), AxialRowmajor),
    "axial_rowmajor, proj": (
        AxialRowmajor(SIZE, row_summary="proj"),
        lambda size: AxialRowmajor(size, row_summary="proj"),
    ),
    "routing": (Routing(SIZE, num_clusters=3), Routing),
    # Blocks of as many tokens as it reaches back: twice as long in a text four times as long.
    "window": (Window(SIZE + 1), lambda size: Window(size + 1)),
    "mixture": (
        Mixture(["fixed", AxialRowmajor(3)], block_size=SIZE),
        lambda size: Mixture(["axial_vertical", Logsparse()], block_size=size),
    ),
    "mixture, learned": (Mixture([Routing(SIZE, 2), AxialRowmajor(3, "proj")]), None),
    "mixture, window": (Mixture([Window(3), Fixed(SIZE, part_size=2, opened=1)]), None),
}
PLANS = {name: plan for name, (plan, _) in TABLE.items()}
GROWING = {name: make for name, (_, make) in TABLE.items() if make is not None}


def cost(name):
    """The cost of a plan in `GROWING`, as its docstring states it."""
    words = " ".join(type(GROWING[name](4)).__doc__.split())
    return re.search(r"Cost[^:]*: (.*?)(, which|[.;]) ", words)[1]


INPUT_DIM = 5


class LearnedPlan:
    """A plan with random weights and inputs of its own, so that all plans are called alike."""

    def __init__(self, plan):
        self.plan = plan
        self.support = plan.support
        self.depends_on_keys = plan.chooses is not None

    def learned(self, shape, value_dim, summary="max", seed=0):
        """`{"weights": dict of arrays, "inputs": array}` for heads of a shape [B, H, T, D]."""
        batch, num_heads, length, key_dim = shape
        specs = self.plan.all_weight_specs(summary, num_heads, key_dim, value_dim, INPUT_DIM)
        generator = np.random.default_rng(seed)
        weights = {name: generator.normal(size=spec.shape) for name, spec in specs.items()}
        inputs = generator.normal(size=(length, batch, INPUT_DIM)).swapaxes(0, 1)
        return {
            "weights": {name: x.astype("float32") for name, x in weights.items()},
            "inputs": inputs.astype("float32"),
        }

    def attend(self, query, key, value, padding_mask=None, causal=False, summary="max", **options):
        shape = [size or 1 for size in query.shape]  # whoever leaves sizes open gives the inputs
        learned = self.learned(shape, value.shape[3], summary)
        return self.plan.attend(
            query, key, value, padding_mask, causal, summary, **{**learned, **options}
        )


def learned_fixed(*arguments, **options):
    """`Fixed` with weights for summaries that learn."""
    return LearnedPlan(Fixed(*arguments, **options))


LEARNED_PLANS = {name: LearnedPlan(x) for name, x in PLANS.items()}
every_plan = pytest.mark.parametrize("plan", LEARNED_PLANS.values(), ids=LEARNED_PLANS)
# For properties that are tried for many plans: there are enough examples of all together.
few_examples = settings(max_examples=settings.default.max_examples // 3)

# Plans that take no way through the code that others do not take: where trying takes long, they are
# tried in the slow tests only.
VARIANTS = (
    "fixed, many first blocks and opened",
    "fixed, finer parts",
    "fixed, neighbors",
    "hierarchical, binary",
    "mixture",
    "mixture, window",
)
# What these compile, convert and run elsewhere is in other plans already: opened parts and
# neighbors in those of first blocks, a grid's rows in its columns, plain rows in projected ones.
COMPILED_ALIKE = (
    *VARIANTS,
    "fixed, finer parts and neighbors",
    "fixed, opened",
    "fixed, opened beyond neighbors",
    "fixed, first blocks",
    "fixed, many first blocks",
    "axial_horizontal",
    "axial_rowmajor",
)
# Every other plan once, in one direction or the other.
compiled_plans = pytest.mark.parametrize(
    ("plan", "causal"),
    [
        pytest.param(LEARNED_PLANS[name], i % 2 == 0, id=name)
        for i, name in enumerate(x for x in PLANS if x not in COMPILED_ALIKE)
    ],
)
distinct_plans = pytest.mark.parametrize(
    "plan",
    [LearnedPlan(x) for name, x in PLANS.items() if name not in VARIANTS],
    ids=[name for name in PLANS if name not in VARIANTS],
)
