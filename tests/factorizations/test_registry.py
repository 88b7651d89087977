import json

import pytest

from keras_combiner import factorizations
from keras_combiner.factorizations import (
    AxialHorizontal,
    AxialRowmajor,
    AxialVertical,
    Fixed,
    Hierarchical,
    Mixture,
    Routing,
    Window,
)
from tests.factorizations.plans import PLANS


@pytest.mark.parametrize("name", factorizations.names())
def test_every_name_gives_a_plan_of_the_block_size(name):
    plan = factorizations.get(name, block_size=5)
    assert type(plan) in {type(x) for x in PLANS.values()}
    config = plan.get_config()
    assert 5 in config.values() or not config


def test_every_name_gives_a_plan_of_its_own():
    kinds = {type(factorizations.get(name)) for name in factorizations.names()}
    assert len(kinds) == len(factorizations.names())
    assert type(factorizations.get("axial_vertical")) is AxialVertical


def test_objects_are_returned_as_they_are():
    plan = Fixed(3)
    assert factorizations.get(plan, block_size=99) is plan
    assert factorizations.deserialize(plan) is plan
    assert factorizations.deserialize("fixed") == "fixed"


def test_a_mixture_of_names_and_objects_survives_json():
    plan = Mixture(["fixed", Fixed(4, neighbors=1), Mixture(["logsparse"])], block_size=3)
    copy = factorizations.deserialize(json.loads(json.dumps(factorizations.serialize(plan))))
    assert type(copy) is Mixture
    assert copy.get_config() == plan.get_config()
    assert copy.support(9) == plan.support(9)
    assert copy.plans[0].block_size == 3
    assert copy.factorizations[0] == "fixed"


@pytest.mark.parametrize("kind", [AxialVertical, AxialHorizontal])
def test_a_plan_that_was_saved_from_another_file_loads(kind):
    config = factorizations.serialize(kind(3))
    module = {AxialVertical: "axial_vertical", AxialHorizontal: "axial_horizontal"}[kind]
    plan = factorizations.deserialize(
        {**config, "module": f"keras_combiner.factorizations.{module}"}
    )
    assert type(plan) is kind and plan.width == 3


@pytest.mark.parametrize("plans", [[], None, "fixed"])
def test_mixture_of_nothing(plans):
    with pytest.raises(ValueError, match="`factorizations` must be a list of at least one plan"):
        Mixture(plans)


def test_mixture_of_an_unknown_plan():
    with pytest.raises(ValueError, match="`factorization` must be one of"):
        Mixture(["fixed", "fxied"])


def test_serialized_plan_survives_json():
    config = json.loads(json.dumps(factorizations.serialize(Fixed(3))))
    plan = factorizations.deserialize(config)
    assert type(plan) is Fixed
    assert plan.block_size == 3
    assert factorizations.serialize("fixed") == "fixed"


@pytest.mark.parametrize("identifier", ["axis", "", None, 3, Fixed])
def test_unknown_plan(identifier):
    with pytest.raises(
        ValueError, match=r"`factorization` must be one of 'fixed', .*, or a Factoriz"
    ):
        factorizations.get(identifier)


@pytest.mark.parametrize("block_size", [0, -1, 2.0, "8", None, True])
def test_block_size_out_of_range(block_size):
    with pytest.raises(ValueError, match="`block_size` must be an int of at least 1"):
        Fixed(block_size)
    with pytest.raises(ValueError, match="`block_size` must be an int of at least 1"):
        factorizations.get("fixed", block_size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"part_size": 3}, "`part_size` must divide `block_size`"),
        ({"part_size": 16}, "`part_size` must divide `block_size`"),
        ({"part_size": 0}, "`part_size` must be an int of at least 1"),
        ({"neighbors": -1}, "`neighbors` must be an int of at least 0"),
        ({"neighbors": 1.0}, "`neighbors` must be an int of at least 0"),
        ({"first_blocks": -1}, "`first_blocks` must be an int of at least 0"),
        ({"first_blocks": True}, "`first_blocks` must be an int of at least 0"),
    ],
)
def test_refinements_of_fixed_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        Fixed(8, **arguments)


@pytest.mark.parametrize("block_size", [1, 0, 2.0, None])
def test_hierarchical_needs_two_children(block_size):
    with pytest.raises(ValueError, match="`block_size` must be an int of at least 2"):
        Hierarchical(block_size)


@pytest.mark.parametrize("size", [0, -1, 2.0, None])
def test_size_of_a_window_out_of_range(size):
    with pytest.raises(ValueError, match="`size` must be an int of at least 1"):
        Window(size)


@pytest.mark.parametrize("plan", [AxialVertical, AxialHorizontal, AxialRowmajor])
@pytest.mark.parametrize("width", [0, -1, 2.0, None])
def test_width_out_of_range(plan, width):
    with pytest.raises(ValueError, match="`width` must be an int of at least 1"):
        plan(width)


def test_row_summaries_are_two():
    assert AxialRowmajor(4, row_summary="proj").row_summary == "proj"
    with pytest.raises(ValueError, match=r"`row_summary` must be 'wsum', .* or 'proj'"):
        AxialRowmajor(4, row_summary="none")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"group_size": 0}, "`group_size` must be an int of at least 1"),
        ({"num_clusters": 0}, "`num_clusters` must be an int of at least 1"),
        ({"decay": 1.5}, "`decay` must be a number between 0 and 1"),
        ({"decay": "slow"}, "`decay` must be a number between 0 and 1"),
    ],
)
def test_routing_refuses_what_makes_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        Routing(**options)
