"""The figures of the speed benchmark as tables and a plot."""

from benchmarks.attention_layers import (
    BIGBIRD,
    BOTH,
    CORE,
    DEFAULT_BLOCK_SIZE,
    DIRECT,
    FLOOR,
    FORWARD,
    FULL,
    PADDED,
    PLANS,
    WINDOW_SIZE,
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
    """Median seconds, or None where the layer was left out."""
    by_name = figures["lengths"][str(length)]["seconds"].get(mode, {})
    return by_name.get(name, {}).get(what)


def lengths(figures):
    """All lengths, a list of int."""
    return [int(x) for x in figures["lengths"]]


def ratios(figures, what, over, under):
    """Seconds of `over` as multiples of those of `under`, both `(mode, name)`, by length."""
    found = {}
    for length in lengths(figures):
        pair = [seconds(figures, length, *job, what) for job in (over, under)]
        if None not in pair:
            found[length] = pair[0] / pair[1]
    return found


def exponent(by_length):
    """Slope of the line through the logarithms: time grows like the length to this power."""
    import numpy as np

    return float(np.polyfit(np.log([*by_length]), np.log([*by_length.values()]), 1)[0])


def headlines(figures):
    """What README quotes: its rows, and their ratios by length."""
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


def table(first, columns, rows):
    """Lines of a table; `rows` is a dict of the first cell to the other cells (str)."""
    lines = [f"| {first} | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    return lines + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]


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


def _graph_tables(figures):
    lines = []
    columns = [f"{x:,}" for x in lengths(figures)]
    for what in (FORWARD, BOTH):
        rows = {}
        for mode, name in _jobs(figures, PEERS_BESIDE_GRAPH):
            values = ratios(figures, what, (mode, name), ("graph", FLOOR))
            times = {x: y for x, y in _times(figures, (mode, name), what).items() if x >= 2048}
            grows = f"L^{exponent(times):.2f}" if len(times) > 1 else ""
            rows[name] = [*_by_length(figures, values), grows]
        lines += [f"### {what.capitalize()}, times the floor", ""]
        lines += [*table("layer", [*columns, "from 2,048 on"], rows), ""]
    lines += [
        "Empty cells: no room in memory (see below), or a length that the layer does not take.",
        "",
        "### Seconds of the floor, and how many times faster `fixed` is than its peers",
        "",
    ]
    rows = {}
    for what in (FORWARD, BOTH):
        floor = _times(figures, ("graph", FLOOR), what)
        rows[f"{what}: floor, ms"] = _by_length(
            figures, {x: 1e3 * y for x, y in floor.items()}, digits=1
        )
        for name in (FULL, BIGBIRD):
            values = ratios(figures, what, ("graph", name), ("graph", PLAN))
            rows[f"{what}: {name} / {PLAN}"] = _by_length(figures, values)
        values = ratios(figures, what, ("graph", PLAN + PADDED), ("graph", PLAN))
        rows[f"{what}: {PLAN}, with a mask / without"] = _by_length(figures, values)
    return [*lines, *table("", columns, rows), ""]


def _mode_tables(figures):
    columns = [f"{x:,}" for x in lengths(figures)]
    lines = []
    for what in (FORWARD, BOTH):
        rows = {}
        for mode in ("xla", "jax", "litert", "litert_int8"):
            for name in CORE:
                values = ratios(figures, what, (mode, name), ("graph", name))
                if values:
                    rows[f"{TITLES[mode]}: {name}"] = _by_length(figures, values)
        if rows:
            lines += [f"### {what.capitalize()}, times the same layer's graph mode", ""]
            lines += [*table("", columns, rows), ""]
    return lines


def _gigabytes(size):
    """Bytes in GB; what had no room is a str already."""
    return size if isinstance(size, str) else f"{size / 1e9:.2f}"


def _memory_table(figures):
    rows = {}
    columns = [x for x in lengths(figures) if any(figures["lengths"][str(x)]["memory"].values())]
    for mode, name in _jobs(figures, figures["settings"]["modes"]):
        cells = []
        for length in columns:
            found = figures["lengths"][str(length)]["memory"][mode].get(name, {})
            both = (_gigabytes(found[x]) for x in (FORWARD, BOTH) if x in found)
            cells.append(" / ".join(both))
        if not any(cells):
            continue
        title = name if mode in PEERS_BESIDE_GRAPH else f"{TITLES[mode]}: {name}"
        rows[title] = cells
    return [
        "### Peak memory, GB: forward / forward and backward",
        "",
        'What a new process adds to what it held before. "About": by how it grew up to there, and '
        "more than its share of the machine's memory, in which all that is timed lives side by "
        "side.",
        "",
        *table("layer", [f"{x:,}" for x in columns], rows),
        "",
    ]


def section(figures):
    """Lines of docs/benchmarks.md, every figure out of `figures`."""
    settings = figures["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    sizes = ", ".join(f"{block_size(x)} at {x:,}" for x in lengths(figures))
    return [
        "## Speed and memory of one attention layer",
        "",
        f"Written by `make bench` on {figures['date']}; the figures are in "
        f"[speed.json](speed.json). {figures['machine']}; {versions}.",
        "",
        f"Width {settings['width']}, {settings['num_heads']} heads, batch "
        f"{settings['batch_size']}, float32, {settings['threads']} threads. Medians of "
        f"{settings['repeats']} turns after {settings['warm_up']} to warm up; at every length all "
        f"layers of all frameworks take turns. The floor (`{FLOOR}`) is the four projections that "
        f"all layers have, with no attention between them. Block sizes and grid widths of "
        f"Combiner: {sizes}; always {DEFAULT_BLOCK_SIZE} for `hierarchical`. `mixture` is of "
        f"`fixed` and `axial_rowmajor`. Windows: {WINDOW_SIZE} for Keras's; all else is as the "
        "peers' packages set it (blocks of 64 with three random "
        "ones for BigBird, 256 random features for Performer, a window of 512 for Longformer). "
        "Layers from Transformers run eagerly on PyTorch. "
        f'"{PADDED.strip(", ")}" has a mask, under which the last tenth does not count.',
        "",
        *_graph_tables(figures),
        *_mode_tables(figures),
        *_memory_table(figures),
        "![Time against length](speed.png)",
        "",
    ]


def plot(figures, path):
    """Time of a forward pass against the length, a PNG."""
    from benchmarks.plots import pyplot

    plt = pyplot()
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
    figure.tight_layout()
    figure.savefig(path, dpi=120)
