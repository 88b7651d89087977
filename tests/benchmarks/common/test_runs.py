"""What is done is kept, and not done again."""

import concurrent.futures
import functools
import json

from benchmarks.common.runs import digest, kept, run_all


def figures_of(row, seed, settings):
    """In place of a training."""
    return {"row": row, "seed": seed, "settings": settings}


def describe(figures):
    return f"row {figures['row']}"


def test_digests_tell_parts_apart():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    names = [digest({"a": 1}), digest({"a": 2}), digest(b"ab", b"c"), digest(b"a", b"bc")]
    assert len({*names, digest({"a": 1}, b"")}) == 5


def test_figures_are_made_once(tmp_path):
    path = tmp_path / "some" / "figures.json"
    assert kept(path, lambda: {1: [2]}) == {"1": [2]}, "as JSON has them"
    assert kept(path, dict) == {"1": [2]}


def test_a_run_goes_on_where_it_stopped(tmp_path, capsys):
    paths = {("full", seed): tmp_path / f"{seed}.json" for seed in (0, 1)}
    one = functools.partial(figures_of, settings={"steps": 3})
    kept(paths["full", 1], lambda: {"kept": True})
    pool = concurrent.futures.ThreadPoolExecutor(1)
    found = run_all(paths, one, pool, describe)
    assert found == {("full", 0): figures_of("full", 0, {"steps": 3}), ("full", 1): {"kept": True}}
    out = capsys.readouterr().out
    assert out.startswith("1 of 2 runs are done already.\n1/1 full, 0: row full; about 0 min left")
    assert json.loads(paths["full", 0].read_text()) == found["full", 0]
    assert run_all(paths, one, pool, describe) == found
    assert "2 of 2 runs are done already." in capsys.readouterr().out
