import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "version_folders",
        "export.next_version",
        "serving.answers",
        "serving.batcher",
        "serving.body_decoder",
        "serving.errors",
        "serving.saved_model_predictor",
        "serving.strict_json",
        "serving.text_request",
        "serving.v2_body",
    ],
)
def test_examples_run(name):
    module = importlib.import_module(f"keras_combiner.{name}")
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
