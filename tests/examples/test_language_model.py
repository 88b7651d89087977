"""The example trains, generates and says how fast, in a setting of seconds."""

import importlib.util
import re
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "examples" / "language_model" / "generate.py"
SETTING = (
    "--steps 6 --batch-size 2 --sequence-length 64 --vocabulary-size 300 --hidden-dim 16 "
    "--num-layers 1 --documents 3 --new-tokens 20 --prompt Gentlemen"
)


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("generate", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow  # README's lines train a language model and write with it on every change
@pytest.mark.parametrize("plan", ["fixed", "logsparse", "hierarchical"])
def test_it_runs(example, capsys, plan):
    example.main([*SETTING.split(), "--factorization", plan])
    printed = capsys.readouterr().out
    untrained, trained = map(float, re.search(r"(\S+) untrained, (\S+) trained", printed).groups())
    assert trained < untrained
    assert re.search(r"^gentlemen\b.{10}", printed, flags=re.MULTILINE)
    assert re.search(r"[1-9]\d* tokens a second in generation", printed)


def test_marks_have_no_spaces_before_them(example):
    text = "we thanked god , ( as ever ) ."
    assert example.without_spaces_before_marks(text) == "we thanked god, (as ever)."
