"""Writes docs/plans.md: what every plan costs and can do, each cell found by trying it.

    python -m tests.factorizations.plans_page

The table has a row for every plan in `GROWING`; what a plan can do is tried with its small
counterpart in `PLANS`.
"""

import pathlib
import re

import numpy as np
import tensorflow as tf

from keras_combiner.factorizations import summaries
from tests import on_backend, reference
from tests.factorizations.backend_cases import Case, compute, compute_all
from tests.factorizations.jax_memory import Program, temporary_bytes_of_all
from tests.factorizations.plans import GROWING, PLANS, LearnedPlan, cost
from tests.factorizations.test_every_plan_litert import check as check_litert

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "plans.md"
LENGTHS = (1024, 4096)  # of the terms
GROWTH_LENGTHS = (4096, 16384)
HEADS, KEY_DIM, INPUT_DIM = 4, 32, 128  # of the parameters

TEXT = """# Plans

`python -m tests.factorizations.plans_page` tries every plan and writes this page; a test fails if
it is out of date.

{table}

- Plans: "fixed, finer parts and neighbors" is `Fixed(S, part_size=S // 2, neighbors=1)`, "fixed,
  opened beyond neighbors" the same with `opened=2`, "fixed, first blocks"
  `Fixed(S, first_blocks=2)`, and "mixture" `Mixture(["axial_vertical", Logsparse()])`.
- Cost: for T tokens in N blocks or groups of S tokens, or rows of W; parts of P tokens, K neighbors
  on each side, F first blocks and X opened parts, which by default are S, 0, 0 and 0; a window of
  S + 1 tokens.
- Terms: the largest number of logits of one query at {lengths} tokens, with blocks, rows or
  groups of {sizes} tokens (hierarchical: 16). Full attention has one for every token.
- Memory: how many times the temporary memory of a program that XLA compiles on JAX grows from
  {growth_lengths} tokens, with blocks to match. A tensor of the size of the scores grows 16 times.
- Parameters: of one layer with {heads} heads of {key_dim} features on inputs of {input_dim}, in
  addition to the projections of `MultiHeadAttention`. Summaries add, with any plan:
  {summary_parameters}.
- Covers all: whether a query attends to every token that it may see, directly or in a part. A layer
  with "window" sees nothing beyond its window, but the next layer reads what this one has seen.
- Any length: whether one layer takes sequences of all lengths. The others need a static length: pad
  to it. A mixture takes all lengths if all of its plans do.
- Causal: the outputs at the positions before a changed token stay the same.
- LiteRT: converts with built-in operators only, bidirectional and causal, at a static length,
  and computes the same there to 1e-4.
- Decoding: one token at a time gives the outputs of the whole sequence, to 1e-4; plans with "no"
  have no `decode`.
- JAX, PyTorch: outputs and gradients equal those on TensorFlow to 1e-5 and 1e-4.

## A plan for each layer

`CombinerBackbone`, what builds one (`from_texts` and `from_size`) and `use_combiner` take a single
plan for all layers, or a list with one for each, from the first to the last, such as
`factorization=[Window(128), Window(128), Fixed(64, part_size=16, opened=8)]`: near tokens in most
layers at little cost, the whole text in some, as in ModernBERT. `summary` and the other options are
the same in all layers. A model serves all lengths, or decodes, if all of its plans do, and covers
all of a text as soon as one of them does.
"""


def tried(attempt):
    """ "yes", or why not."""
    try:
        attempt()
    except Exception as error:
        missing = re.findall(r"'tf\.(\w+)' op is neither a custom op", str(error))
        if missing:
            return f"no: TensorFlow's {', '.join(sorted(set(missing)))} has no counterpart there"
        return "no: " + " ".join(str(error).split())[:200].replace("|", "/")
    return "yes"


def terms(name):
    def count(support):
        members = getattr(support, "members", None)
        if members is not None:
            return sum(map(count, members))
        return len(support.direct) + len(support.parts)

    plans = ((GROWING[name](round(length**0.5)), length) for length in LENGTHS)
    return " / ".join(f"{max(map(count, plan.support(length)))}" for plan, length in plans)


def shapes_of(specs):
    shapes = (f"{name} {' x '.join(map(str, x.shape))}" for name, x in specs.items())
    return ", ".join(shapes) or "none"


def parameters(name):
    plan = GROWING[name](round(LENGTHS[1] ** 0.5))
    return shapes_of(plan.weight_specs(HEADS, KEY_DIM, KEY_DIM, INPUT_DIM))


def any_length(name):
    plan = LearnedPlan(PLANS[name])

    @tf.function(input_signature=[tf.TensorSpec([None, 2, None, 3])] * 3, autograph=False)
    def attend(*arrays):
        return plan.attend(*arrays)

    try:
        attend(*reference.heads((1, 2, 9, 3)))
    except ValueError as error:
        if "static length" not in str(error):
            raise
        return "no"
    return "yes"


def causal(name):
    def attempt():
        plan, arrays = LearnedPlan(PLANS[name]), reference.heads((2, 2, 19, 4))
        before = plan.attend(*arrays, causal=True)
        for x in arrays:
            x[:, :, 11] += 5
        after = plan.attend(*arrays, causal=True)
        np.testing.assert_allclose(after[:, :, :11], before[:, :, :11], atol=1e-6)

    return tried(attempt)


def decoding(name):
    plan = PLANS[name]
    if not plan.decodes:
        return "no"
    query, key, value = reference.heads((2, 2, 9, 4))
    cache = plan.initial_cache(2, 2, 4, 4, max_length=9)
    expected = plan.attend(query, key, value, causal=True)
    for t in range(9):
        token = (x[:, :, t] for x in (query, key, value))
        outputs, cache = plan.decode(*token, cache, t)
        np.testing.assert_allclose(outputs, expected[:, :, t], atol=1e-4)
    return "yes"


def litert(name):
    def attempt():
        for direction in (False, True):
            check_litert(LearnedPlan(PLANS[name]), masked=True, causal=direction, summary="max")

    return tried(attempt)


# Columns that are found in a moment, plan by plan.
QUICK = {
    "cost": cost,
    "parameters": parameters,
    "covers all": lambda name: "yes" if PLANS[name].covers_all else "no",
}


def quick_facts():
    """`{plan: {column: cell}}` of the columns in `QUICK`."""
    return {name: {column: fact(name) for column, fact in QUICK.items()} for name in GROWING}


def slow_facts():
    """`{plan: {column: cell}}` of what takes longer: what is computed, compiled or converted."""
    programs = {name: Program(name) for name in GROWING}
    memory = on_backend.call(
        "jax", temporary_bytes_of_all, list(programs.values()), GROWTH_LENGTHS, xla_flags=""
    )
    cases = {
        name: [Case(name, direction, "max", 11, masked=True) for direction in (False, True)]
        for name in GROWING
    }
    every_case = [case for both in cases.values() for case in both]
    results = {
        label: on_backend.call(backend, compute_all, every_case)
        for label, backend in (("JAX", "jax"), ("PyTorch", "torch"))
    }

    def equal(received, expected):
        for name, x in received.items():
            tolerance = 1e-5 if name == "outputs" else 1e-4
            np.testing.assert_allclose(x, expected[name], atol=tolerance, err_msg=name)

    def agrees(found, name):
        return tried(lambda: [equal(found[case], compute(case)) for case in cases[name]])

    facts = {}
    for name, program in programs.items():
        short, long = memory[program]
        facts[name] = {
            "terms": terms(name),
            "memory": f"{long / short:.1f}",
            "LiteRT": litert(name),
            "any length": any_length(name),
            "causal": causal(name),
            "decoding": decoding(name),
        }
        facts[name] |= {label: agrees(found, name) for label, found in results.items()}
    return facts


COLUMNS = (
    *("cost", "terms", "memory", "parameters", "covers all", "any length", "causal"),
    *("LiteRT", "decoding", "JAX", "PyTorch"),
)


def render(facts):
    """The text of the page."""

    def row(cells):
        return f"| {' | '.join(cells)} |"

    rows = [row(("plan", *COLUMNS)), row(["---"] * (len(COLUMNS) + 1))]
    rows += [row((name, *(cells[x] for x in COLUMNS))) for name, cells in facts.items()]
    by_summary = (
        f'"{name}" {shapes_of(summaries.weight_specs(name, KEY_DIM))}'
        for name in summaries.SUMMARIES
    )
    return TEXT.format(
        table="\n".join(rows),
        lengths=" and ".join(f"{x:,}" for x in LENGTHS),
        sizes=" and ".join(str(round(x**0.5)) for x in LENGTHS),
        growth_lengths=" to ".join(f"{x:,}" for x in GROWTH_LENGTHS),
        heads=HEADS,
        key_dim=KEY_DIM,
        input_dim=INPUT_DIM,
        summary_parameters="; ".join(by_summary),
    )


def read():
    """`{plan: {column: cell}}` of the table on the page."""
    rows = [x for x in PAGE.read_text(encoding="utf-8").splitlines() if x.startswith("| ")]
    (_, *columns), _, *rows = ([cell.strip() for cell in x.strip("|").split("|")] for x in rows)
    return {name: dict(zip(columns, cells, strict=True)) for name, *cells in rows}


def main():
    slow = slow_facts()
    facts = {name: {**cells, **slow[name]} for name, cells in quick_facts().items()}
    PAGE.write_text(render(facts), encoding="utf-8")


if __name__ == "__main__":
    main()
