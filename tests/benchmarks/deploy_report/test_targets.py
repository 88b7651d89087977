"""A target that is missed is marked."""

import pytest

from benchmarks.deploy_report.length import FULL
from benchmarks.deploy_report.page import tables
from benchmarks.deploy_report.rows import DYNAMIC, INT4, INT8, PADDED, PRUNED, QAT, WHOLE
from benchmarks.deploy_report.targets import targets


def missed(figures):
    return [what for what, _, _, met in targets(figures) if not met]


def test_targets_that_are_met(figures):
    assert missed(figures) == []


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (DYNAMIC, {"size": 1_160_001}, "dynamic_int8: size"),
        (DYNAMIC, {"milliseconds": {"1": [21.0, 25.0, 3.0], "2": [1.0] * 3}}, "threads: 1"),
        (DYNAMIC, {WHOLE: {"accuracy": 0.8649}}, "dynamic_int8: accuracy, whole"),
        (INT8, {PADDED: {"accuracy": 0.569}}, "int8: accuracy, padded"),
        (INT4, {WHOLE: {"accuracy": 0.849}}, "int4: accuracy, whole"),
        (PRUNED, {PADDED: {"accuracy": 0.5}}, "80 % pruned, dynamic_int8: accuracy, padded"),
        (QAT, {WHOLE: {"accuracy": 0.86}}, "quantization-aware, int8: accuracy, whole"),
    ],
)
def test_a_target_that_is_missed_is_marked(name, change, words, figures):
    for key, value in change.items():
        is_part = key in (WHOLE, PADDED)
        figures["rows"][name][key] = {**figures["rows"][name][key], **value} if is_part else value
    (what,) = missed(figures)
    assert words in what
    (line,) = (x for x in tables(figures)["targets"] if "**missed**" in x)
    assert line.startswith(f"| {what} |")


def test_too_little_ahead_of_full_attention_is_missed(figures):
    figures["length"]["seconds"][FULL] = 0.74
    assert missed(figures) == ["Combiner at 4,096 tokens"]
