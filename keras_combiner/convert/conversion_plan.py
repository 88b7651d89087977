"""Which attention a converted model has: what was asked for, and the defaults for what was not."""

from keras_combiner.convert.combiner_weights import CombinerWeights
from keras_combiner.convert.defaults import DEFAULT_SUMMARY, default_locality, default_plan


def conversion_plan(weights, factorization, block_size, summary, locality):
    """Returns the options of the new model's attention.

    Args:
        weights: `EncoderWeights`, `CombinerWeights`, or None for any other Keras model.
        factorization: see `use_combiner`.
        block_size: see `use_combiner`.
        summary: see `use_combiner`.
        locality: see `use_combiner`.

    Returns:
        dict of "factorization", "block_size", "summary" and "locality". Those that a model of this
        package keeps are left out; a `locality` of None is that of every layer that is replaced.

    Raises:
        ValueError: for a `block_size` without a plan that has blocks.
    """
    local_plans = [] if weights is None else weights.local_plans
    if factorization is None and block_size is not None:
        _refuse_without_blocks(local_plans, block_size)
    asked = {"block_size": block_size, "summary": summary, "locality": locality}
    if isinstance(weights, CombinerWeights):
        its_own = weights.backbone.arguments["factorization"]
        if factorization is not None:
            asked["factorization"] = _beside(local_plans, factorization)
        elif block_size is not None:
            asked["factorization"] = _in_blocks_of(block_size, its_own, local_plans)
        return {name: x for name, x in asked.items() if x is not None}
    if factorization is None and local_plans and None not in local_plans:
        factorization = local_plans
    block_size = 64 if block_size is None else block_size
    if factorization is None:
        factorization = default_plan(block_size)
    if locality is None and weights is not None:
        locality = default_locality(weights.num_heads)
    return {
        "factorization": _beside(local_plans, factorization),
        "block_size": block_size,
        "summary": DEFAULT_SUMMARY if summary is None else summary,
        "locality": locality,
    }


def _refuse_without_blocks(local_plans, block_size):
    """Raises a ValueError if all layers have windows, which have a size of their own."""
    if local_plans and None not in local_plans:
        raise ValueError(
            "All layers of this model attend within windows, which are kept: none has blocks. "
            "Leave `block_size` out or, for another attention in all layers, pass "
            f"`factorization` as well. Received: block_size={block_size}."
        )


def _beside(local_plans, factorization):
    """The plan of the layers that attend to the whole text, beside those of the local ones.

    A list is that of all layers. If all layers are local, the plan takes the place of all of them.
    """
    if isinstance(factorization, list | tuple) or None not in local_plans:
        return factorization
    return [factorization if plan is None else plan for plan in local_plans]


def _in_blocks_of(block_size, factorization, local_plans):
    """The plan, or plans by layer, of a model of this package with blocks of another size."""
    if isinstance(factorization, list):
        return [
            _in_blocks_of(block_size, plan, []) if local is None else local
            for plan, local in zip(factorization, local_plans, strict=True)
        ]
    if isinstance(factorization, str):
        return factorization  # a name takes the size from the layer
    config = factorization.get_config()
    if "block_size" not in config or factorization.plans:
        raise ValueError(
            f"The model has the plan {type(factorization).__name__}, which `block_size` alone "
            "cannot change. Pass `factorization` as well, the plan that the model is to have. "
            f"Received: block_size={block_size}."
        )
    try:
        return type(factorization).from_config({**config, "block_size": block_size})
    except ValueError as error:
        raise ValueError(
            f"`block_size` alone cannot change the plan of the model: {error} Or pass "
            "`factorization` as well, the plan that the model is to have."
        ) from error
