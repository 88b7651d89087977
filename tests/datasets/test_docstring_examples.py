import pytest

from tests import docstring_examples


@pytest.mark.parametrize("name", docstring_examples.modules("datasets"))
def test_examples_run(name):
    docstring_examples.run(name)
