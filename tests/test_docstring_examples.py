from pathlib import Path

import pytest

from tests import docstring_examples


@pytest.mark.parametrize("name", docstring_examples.modules())
def test_examples_run(name):
    docstring_examples.run(name)


def test_the_examples_of_every_room_are_run():
    rooms = {x.parent.name for x in docstring_examples.PACKAGE.glob("*/__init__.py")}
    run = {x.parent.name for x in Path(__file__).parent.glob("*/test_docstring_examples.py")}
    assert {x for x in rooms if docstring_examples.modules(x)} == run & rooms
