"""The figures of the speed benchmark as tables and a plot."""

from benchmarks.common import pages, plots
from benchmarks.common.tables import table
from benchmarks.speed.layers import (
    BIGBIRD,
    BOTH,
    DIRECT,
    FLOOR,
    FORWARD,
    FULL,
    NAMES,
    PADDED,
    PLANS,
    block_size,
)

PLAN = "fixed"
PEERS_BESIDE_GRAPH = ("graph", "torch")  # what is compared with TensorFlow's graph mode
TITLES = {
    "graph": "TensorFlow, graph",
    "xla": "TensorFlow, XLA",
    "jax": "JAX, jit",
    "litert": "LiteRT, float32",
    "litert_int8": "LiteRT, dynamic_int8",
}


def seconds(figures, length, mode, name, what):
    """Returns median seconds, or None where the layer was left out."""
    by_name = figures["lengths"][str(length)]["seconds"].get(mode, {})
    return by_name.get(name, {}).get(what)


def lengths(figures):
    """Returns all lengths, a list of int."""
    return [int(x) for x in figures["lengths"]]


def ratios(figures, what, over, under):
    """Returns seconds of `over` over those of `under`, both `(mode, name)`, by length."""
    found = {}
    for length in lengths(figures):
        pair = [seconds(figures, length, *job, what) for job in (over, under)]
        if None not in pair:
            found[length] = pair[0] / pair[1]
    return found


def exponent(by_length):
    """Returns the slope of the logarithms: time grows like the length to this power."""
    import numpy as np

    return float(np.polyfit(np.log([*by_length]), np.log([*by_length.values()]), 1)[0])


def headlines(figures):
    """Returns what README quotes: its rows, and their ratios by length."""
    found = {}
    for what in (FORWARD, BOTH):
        found[f"{what}, times the projections alone"] = ratios(
            figures, what, ("graph", PLAN), ("graph", FLOOR)
        )
        for name in (FULL, BIGBIRD):
            found[f"{what}, faster than {name}"] = ratios(
                figures, what, ("graph", name), ("graph", PLAN)
            )
    return found


def _titles(lengths):
    return [f"{x:,}" for x in lengths]


def _by_length(figures, values, digits=2):
    return [f"{values[x]:.{digits}f}" if x in values else "" for x in lengths(figures)]


def _jobs(figures, modes):
    """`(mode, name)` of everything that ran at some length in these modes."""
    jobs = {}
    for found in figures["lengths"].values():
        for mode in modes:
            jobs.update(((mode, name), None) for name in found["seconds"].get(mode, ()))
    return list(jobs)


def _times(figures, job, what):
    """Median seconds by length, where there are any."""
    found = {x: seconds(figures, x, *job, what) for x in lengths(figures)}
    return {x: y for x, y in found.items() if y is not None}


def _floor_table(figures, what):
    """What every layer takes beside the projections alone."""
    rows = []
    for mode, name in _jobs(figures, PEERS_BESIDE_GRAPH):
        values = ratios(figures, what, (mode, name), ("graph", FLOOR))
        times = {x: y for x, y in _times(figures, (mode, name), what).items() if x >= 2048}
        grows = f"L^{exponent(times):.2f}" if len(times) > 1 else ""
        rows.append([name, *_by_length(figures, values), grows])
    return table(["layer", *_titles(lengths(figures)), "from 2,048 on"], rows)


def _peers_table(figures):
    rows = []
    for what in (FORWARD, BOTH):
        floor = {x: 1e3 * y for x, y in _times(figures, ("graph", FLOOR), what).items()}
        rows.append([f"{what}: floor, ms", *_by_length(figures, floor, digits=1)])
        for name in (FULL, BIGBIRD):
            values = ratios(figures, what, ("graph", name), ("graph", PLAN))
            rows.append([f"{what}: {name} / {PLAN}", *_by_length(figures, values)])
        values = ratios(figures, what, ("graph", PLAN + PADDED), ("graph", PLAN))
        rows.append([f"{what}: {PLAN}, with a mask / without", *_by_length(figures, values)])
    return table(["", *_titles(lengths(figures))], rows)


def _modes_table(figures, what):
    rows = []
    for mode in ("xla", "jax", "litert", "litert_int8"):
        for name in NAMES[mode]:
            values = ratios(figures, what, (mode, name), ("graph", name))
            if values:
                rows.append([f"{TITLES[mode]}: {name}", *_by_length(figures, values)])
    return table(["", *_titles(lengths(figures))], rows)


def _gigabytes(size):
    """Bytes in GB; what had no room is a str already."""
    return size if isinstance(size, str) else f"{size / 1e9:.2f}"


def _memory_table(figures):
    rows = []
    columns = [x for x in lengths(figures) if any(figures["lengths"][str(x)]["memory"].values())]
    for mode, name in _jobs(figures, figures["settings"]["modes"]):
        cells = []
        for length in columns:
            found = figures["lengths"][str(length)]["memory"][mode].get(name, {})
            both = (_gigabytes(found[x]) for x in (FORWARD, BOTH) if x in found)
            cells.append(" / ".join(both))
        if any(cells):
            title = name if mode in PEERS_BESIDE_GRAPH else f"{TITLES[mode]}: {name}"
            rows.append([title, *cells])
    return table(["layer", *_titles(columns)], rows)


def tables(figures):
    """Returns the tables of docs/benchmarks.md by name, every figure out of `figures`."""
    return {
        "source": pages.source("make bench", "speed", figures),
        "block sizes": table(
            ["tokens", *_titles(lengths(figures))],
            [["block size, or grid width", *(f"{block_size(x)}" for x in lengths(figures))]],
        ),
        "forward": _floor_table(figures, FORWARD),
        "forward and backward": _floor_table(figures, BOTH),
        "peers": _peers_table(figures),
        "modes, forward": _modes_table(figures, FORWARD),
        "modes, forward and backward": _modes_table(figures, BOTH),
        "memory": _memory_table(figures),
    }


def plot(figures, path):
    """Time of a forward pass against the length, a PNG."""
    plt = plots.pyplot()
    figure, axes = plt.subplots(figsize=(8, 5))
    jobs = [x for x in _jobs(figures, PEERS_BESIDE_GRAPH) if PADDED not in x[1]]
    for place, (mode, name) in enumerate(jobs):
        times = _times(figures, (mode, name), FORWARD)
        if not times:
            continue
        axes.plot(
            [*times],
            [*times.values()],
            marker="os^vDP"[place % 6],
            markersize=4,
            linewidth=2.5 if name in (FLOOR, FULL, PLAN) else 1,
            linestyle="-" if name in (FLOOR, DIRECT, *PLANS) else "--",
            color=plt.get_cmap("tab20")(place % 20),
            label=name,
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(lengths(figures), [f"{x:,}" for x in lengths(figures)], rotation=30)
    axes.set_yscale("log")
    axes.set_xlabel("length in tokens")
    axes.set_ylabel("seconds of a forward pass")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    plots.save(figure, path)


PAGE = pages.Page("speed", "benchmarks.md", tables, plot)
