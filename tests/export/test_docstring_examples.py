import pytest

from tests import docstring_examples


@pytest.mark.parametrize("name", docstring_examples.modules("export"))
def test_examples_run(eager, name):
    docstring_examples.run(name)
