"""The plans that the contract is run for: a new plan is one line here."""

import pytest

from keras_combiner.factorizations import (
    AxialHorizontal,
    AxialRowmajor,
    AxialVertical,
    Fixed,
    Hierarchical,
    Logsparse,
    Mixture,
)

SIZE = 4  # the block size or grid width of every plan below that has one

PLANS = {
    "fixed": Fixed(SIZE),
    "fixed, finer parts": Fixed(SIZE, part_size=2),
    "fixed, neighbors": Fixed(SIZE, neighbors=1),
    "fixed, finer parts and neighbors": Fixed(2, part_size=1, neighbors=3),
    "logsparse": Logsparse(),
    "hierarchical": Hierarchical(SIZE),
    "hierarchical, binary": Hierarchical(2),
    "axial_vertical": AxialVertical(SIZE),
    "axial_horizontal": AxialHorizontal(SIZE),
    "axial_rowmajor": AxialRowmajor(SIZE),
    "mixture": Mixture(["fixed", AxialRowmajor(3)], block_size=SIZE),
}

every_plan = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)

# Every plan again, with block sizes that suit a long text: near the square root of its length.
GROWING = {
    "fixed": Fixed,
    "fixed, finer parts and neighbors": lambda size: Fixed(size, size // 2, neighbors=1),
    "logsparse": lambda size: Logsparse(),
    "hierarchical": lambda size: Hierarchical(16),
    "axial_vertical": AxialVertical,
    "axial_horizontal": AxialHorizontal,
    "axial_rowmajor": AxialRowmajor,
    "mixture": lambda size: Mixture(["axial_vertical", Logsparse()], block_size=size),
}
