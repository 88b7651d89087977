"""The tables of speed have the ratios of their times."""

import json

from benchmarks.speed.layers import BOTH, FLOOR, FORWARD, FULL
from benchmarks.speed.measure import SETTINGS
from benchmarks.speed.page import PAGE


def figures(seconds, memory):
    """Of lengths 2,048 and 4,096 in graph mode; `seconds` and `memory` by name and length."""
    lengths = {
        length: {
            "seconds": {
                "graph": {
                    name: {FORWARD: times[length], BOTH: 3 * times[length]}
                    for name, times in seconds.items()
                    if length in times
                }
            },
            "memory": {
                "graph": {name: {FORWARD: sizes[length]} for name, sizes in memory.items()},
            },
        }
        for length in (2048, 4096)
    }
    settings = {**SETTINGS, "modes": ["graph"]}
    found = {"date": "2001-02-03", "machine": "a machine", "versions": {}, "settings": settings}
    return json.loads(json.dumps({**found, "lengths": lengths}))  # keys are str in the file


FIGURES = figures(
    {
        FLOOR: {2048: 1.0, 4096: 2.0},
        "fixed": {2048: 2.5, 4096: 10.0},
        FULL: {2048: 4.0},
        "fixed, padded": {2048: 3.0, 4096: 10.0},
    },
    {FLOOR: {2048: 1e8, 4096: 2e8}, FULL: {2048: 4e9, 4096: "about 16"}},
)


def test_the_page_has_ratios_exponents_and_what_had_no_memory(tmp_path, capsys):
    PAGE.write(tmp_path, FIGURES)
    assert (tmp_path / "speed.png").stat().st_size > 1000
    text = (tmp_path / "benchmarks.md").read_text()
    assert text.count(f"| {FLOOR} | 1.00 | 1.00 | L^1.00 |") == 2  # both passes
    assert text.count("| fixed | 2.50 | 5.00 | L^2.00 |") == 2
    assert text.count(f"| {FULL} | 4.00 |  |  |") == 2
    assert f"| forward: {FULL} / fixed | 1.60 |  |" in text
    assert "| forward: fixed, with a mask / without | 1.20 | 1.00 |" in text
    assert f"| {FULL} | 4.00 | about 16 |" in text
    assert f"| {FLOOR} | 0.10 | 0.20 |" in text
    assert f"| {FLOOR} | 0.10 | 0.20 |" in capsys.readouterr().out
