"""What XLA sets aside for plans: the temporary memory of compiled programs, none of which runs."""

from typing import NamedTuple

from tests.factorizations.plans import GROWING, LearnedPlan


class Program(NamedTuple):
    """One call of a plan in `GROWING`, or its gradient."""

    plan: str
    causal: bool = False
    summary: str = "max"
    masked: bool = True
    backward: bool = False
    scores: bool = False


def temporary_bytes(program, length):
    """Bytes that the compiled program takes beside its inputs and outputs."""
    import jax

    plan = LearnedPlan(GROWING[program.plan](round(length**0.5)))

    def forward(query, key, value, mask):
        results = plan.attend(
            query,
            key,
            value,
            padding_mask=mask if program.masked else None,
            causal=program.causal,
            summary=program.summary,
            return_attention_scores=program.scores,
        )
        # Outputs do not count as temporary, so the scores are used, not handed out.
        return results[1] @ value if program.scores else results

    def loss(*arrays):
        return forward(*arrays).sum()

    function = jax.grad(loss, (0, 1, 2)) if program.backward else forward
    heads = jax.ShapeDtypeStruct((1, 2, length, 4), "float32")
    mask = jax.ShapeDtypeStruct((1, length), "bool")
    compiled = jax.jit(function).lower(heads, heads, heads, mask).compile()
    jax.clear_caches()
    return compiled.memory_analysis().temp_size_in_bytes


def temporary_bytes_of_all(programs, lengths):
    """`{program: [bytes, one a length]}`."""
    return {x: [temporary_bytes(x, length) for length in lengths] for x in programs}
