"""The attention that a converted model has unless told otherwise; docs/conversion.md says why."""

import math

from keras_combiner.factorizations import Fixed

DEFAULT_SUMMARY = "gaussian"
DEFAULT_LOCALITY = 0.5


def default_plan(block_size=64):
    """Returns the default plan of `use_combiner`.

    >>> plan = default_plan(24)
    >>> plan.block_size, plan.part_size, plan.opened, plan.first_blocks
    (24, 8, 8, 1)
    """
    return Fixed(block_size, part_size=math.gcd(block_size, 16), opened=8, first_blocks=1)


def default_locality(num_heads):
    """Returns the default locality of `use_combiner`: a single head cannot have any.

    >>> default_locality(12), default_locality(1)
    (0.5, 0.0)
    """
    return DEFAULT_LOCALITY if num_heads > 1 else 0.0
