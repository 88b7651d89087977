import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    ("name", "has_examples"),
    [
        ("bert", True),
        ("bert_normalizer", True),
        ("byte", True),
        ("tokenizer", True),
        ("unknown_tokens", True),
        ("vocabulary", True),
        ("wordpiece", True),
        ("tensorflow_text_ops", False),
    ],
)
def test_examples_run(name, has_examples):
    result = doctest.testmod(importlib.import_module(f"keras_combiner.text.{name}"))
    assert result.failed == 0
    assert (result.attempted > 0) == has_examples
