"""The benchmark of speed: its ratios are those of its times, and what has no memory drops out."""

import functools
import json
import time

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import attention_layers, report, speed, speed_report
from benchmarks.attention_layers import BOTH, FLOOR, FORWARD, FULL

SETTINGS = {**speed.SETTINGS, "width": 16, "num_heads": 2, "warm_up": 1, "repeats": 1}


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


def test_block_sizes_are_near_the_square_root():
    lengths = (128, 512, 4096, 8192, 16384, 65536)
    assert [attention_layers.block_size(x) for x in lengths] == [64, 64, 64, 128, 128, 256]


def test_the_page_tells_ratios_exponents_and_what_had_no_memory():
    text = "\n".join(speed_report.section(FIGURES))
    assert text.count(f"| {FLOOR} | 1.00 | 1.00 | L^1.00 |") == 2  # both passes
    assert text.count("| fixed | 2.50 | 5.00 | L^2.00 |") == 2
    assert text.count(f"| {FULL} | 4.00 |  |  |") == 2
    assert f"| forward: {FULL} / fixed | 1.60 |  |" in text
    assert "| forward: fixed, with a mask / without | 1.20 | 1.00 |" in text
    assert f"| {FULL} | 4.00 | about 16 |" in text
    assert f"| {FLOOR} | 0.10 | 0.20 |" in text


def test_the_page_and_its_plot_are_written_whole(tmp_path, capsys):
    report.write(tmp_path, "speed", FIGURES)
    assert sorted(x.name for x in tmp_path.iterdir()) == [
        "benchmarks.md",
        "speed.json",
        "speed.png",
    ]
    text = (tmp_path / "benchmarks.md").read_text()
    assert text == report.page(tmp_path)
    assert text in capsys.readouterr().out


def test_memory_is_expected_to_grow_as_it_did():
    assert speed.expected_memory({}, 4096) == 0
    assert speed.expected_memory({2048: 3.0}, 4096) == 12.0  # like the square, to be safe
    grows = {2048: 1.0, 4096: 3.0}
    assert speed.expected_memory(grows, 8192) == pytest.approx(9.0)
    assert speed.expected_memory(grows, 16384) == pytest.approx(27.0)
    # At least like the length.
    assert speed.expected_memory({2048: 1.0, 4096: 1.1}, 8192) == pytest.approx(2.2)


def test_a_pass_drops_out_before_memory_is_spent(monkeypatch, tmp_path):
    timed, asked = {}, []

    def peak_memory(mode, name, length, settings, passes):
        asked.append((name, length, passes))
        forward = 1e6 * (length**2 / 2048 if name == FULL else length) / 512
        return {what: forward * (1 if what == FORWARD else 3) for what in passes}

    def seconds_of(passes, length, settings):
        timed[length] = passes
        return {"graph": {name: {} for _, name in passes}}

    monkeypatch.setattr(speed, "peak_memory", peak_memory)
    monkeypatch.setattr(speed, "seconds_of", seconds_of)
    monkeypatch.setattr(speed, "available_memory", lambda: 25e6 / speed.MEMORY_SHARES["graph"])
    cache = speed.Cache(tmp_path, SETTINGS)
    found = speed.measure((1024, 2048, 4096), {"graph": (FLOOR, FULL)}, SETTINGS, cache)
    assert asked == [
        *((FLOOR, 2048, [FORWARD, BOTH]), (FULL, 2048, [FORWARD, BOTH])),
        # 4 times 4e6 bytes are less than 25e6, 4 times 12e6 are more.
        *((FLOOR, 4096, [FORWARD]), (FULL, 4096, [FORWARD])),
    ]
    assert timed[1024] == {("graph", x): [FORWARD, BOTH] for x in (FLOOR, FULL)}
    assert timed[4096] == {("graph", x): [FORWARD] for x in (FLOOR, FULL)}
    assert found[4096]["memory"]["graph"][FULL] == {FORWARD: 16e6, BOTH: "about 0"}
    asked.clear()
    speed.measure((1024, 2048, 4096), {"graph": (FLOOR, FULL)}, SETTINGS, cache)
    assert not asked, "what is measured is kept"


def test_figures_of_other_settings_do_not_count(tmp_path):
    first = speed.Cache(tmp_path, {"repeats": 1})
    assert first.get("x", lambda: {"a": 1}) == {"a": 1}
    assert speed.Cache(tmp_path, {"repeats": 1}).get("x", lambda: {"a": 2}) == {"a": 1}
    assert speed.Cache(tmp_path, {"repeats": 2}).get("x", lambda: {"a": 2}) == {"a": 2}


def test_turns_are_taken_and_warm_up_does_not_count():
    order, values = [], {"a": iter([9, 1, 5, 3]), "b": iter([9, 2, 2, 8])}

    def run(name):
        order.append(name)
        return next(values[name])

    runs = {name: functools.partial(run, name) for name in "ab"}
    assert speed.take_turns(runs, {"warm_up": 1, "repeats": 3}) == {"a": 3, "b": 2}
    assert order == list("abababab")


@pytest.mark.parametrize("mode", ["graph", pytest.param("xla", marks=pytest.mark.slow)])
def test_every_layer_of_ours_and_keras_runs(mode):
    for name in (FLOOR, FULL, attention_layers.WINDOW, *attention_layers.PLANS):
        programs = attention_layers.programs(name, mode, 24, SETTINGS)
        assert tuple(programs) == (FORWARD, BOTH)
        outputs, gradients = programs[FORWARD](), programs[BOTH]()
        assert name == FLOOR or outputs.shape == (1, 24, 16)
        assert all(x is None or np.isfinite(x).all() for x in gradients)


@pytest.mark.parametrize("mode", ["litert", "litert_int8"])
def test_layers_run_in_litert(mode):
    programs = attention_layers.programs("fixed", mode, 24, SETTINGS)
    assert list(programs) == [FORWARD]
    programs[FORWARD]()


def test_one_block_is_for_short_inputs():
    with pytest.raises(ValueError, match="for lengths up to 512"):
        attention_layers.keras_layer(attention_layers.DIRECT, 1024, SETTINGS)


@pytest.mark.parametrize(
    ("package", "mode", "name"),
    [
        ("official", "graph", attention_layers.BIGBIRD),
        ("official", "graph", attention_layers.PERFORMER),
        ("transformers", "torch", attention_layers.LONGFORMER),
        ("transformers", "torch", attention_layers.TORCH_BIGBIRD),
    ],
)
def test_a_missing_peer_names_its_extra(monkeypatch, package, mode, name):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ImportError, match=r"pip install keras_combiner\[peers\]"):
        attention_layers.programs(name, mode, 1024, SETTINGS)


def test_the_floor_is_four_products_forward_and_eight_backward():
    layer, call = attention_layers.keras_layer(FLOOR, 24, SETTINGS)
    x = tf.random.normal((1, 24, 16))

    def products(function):
        operations = function.get_concrete_function(x).graph.get_operations()
        return sum("MatMul" in op.type or "Einsum" in op.type for op in operations)

    @tf.function
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = call(x)
        upstream = [tf.random.normal(y.shape, seed=n) for n, y in enumerate(outputs)]
        return tape.gradient(outputs, [x, *layer.trainable_weights], upstream)

    assert products(tf.function(call)) == 4
    assert products(both) == 12


def test_fixed_stays_near_the_floor_and_ahead_of_full_attention():
    """The check against regressions: ratios of one run, and a margin of about two."""
    settings = {**SETTINGS, "width": 256, "num_heads": 4, "warm_up": 2, "repeats": 7}
    programs = {
        name: attention_layers.programs(name, "graph", 2048, settings)
        for name in (FLOOR, FULL, "fixed")
    }

    def seconds(run):
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    def is_fast(what, most):
        runs = {name: functools.partial(seconds, some[what]) for name, some in programs.items()}
        medians = speed.take_turns(runs, settings)
        return medians["fixed"] < min(most * medians[FLOOR], 0.8 * medians[FULL])

    # What slows one run down, on a busy machine, is gone in another; a regression is not.
    for what, most in ((FORWARD, 3.5), (BOTH, 4.0)):
        assert any(is_fast(what, most) for _ in range(3)), what
