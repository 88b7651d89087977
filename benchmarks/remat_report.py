"""What rematerialization saves, as a table and a plot."""

from benchmarks.plots import pyplot
from benchmarks.speed_report import table


def section(figures):
    """Lines of docs/benchmarks.md, every figure out of `figures`."""
    return [
        "## Memory of training, and rematerialization",
        "",
        f"Written by `make bench` on {figures['date']}; the figures are in "
        f"[remat.json](remat.json). {figures['machine']}; Keras {figures['versions']['keras']}, "
        f"TensorFlow {figures['versions']['tensorflow']}.",
        "",
        "A training step of a backbone with one output: the most memory beyond what the process "
        "held before its first step, and processor seconds a step. `remat` keeps the inputs of "
        "blocks, and computes the rest once more for the gradient.",
        "",
        *table(
            "backbone",
            ["GB", "GB, `remat`", "memory", "time"],
            {_name(row): _cells(row) for row in figures["rows"]},
        ),
        "",
        "![Memory of training, and rematerialization](remat.png)",
        "",
    ]


def _name(row):
    return f"{row['size']}, {row['batch_size']} x {row['length']:,} tokens"


def _cells(row):
    kept, again = row["without"], row["with"]
    return [
        *(f"{x['bytes'] / 1e9:.2f}" for x in (kept, again)),
        *(f"{again[x] / kept[x]:.2f}x" for x in ("bytes", "seconds")),
    ]


def plot(figures, path):
    """Peak memory by backbone, a PNG."""
    rows = figures["rows"][::-1]
    figure, axes = pyplot().subplots(figsize=(7, 0.8 + 0.7 * len(rows)))
    for offset, name, color in ((0.2, "without", "0.75"), (-0.2, "with", "0.35")):
        gigabytes = [row[name]["bytes"] / 1e9 for row in rows]
        places = [place + offset for place in range(len(rows))]
        axes.barh(places, gigabytes, 0.4, color=color, label=f"{name} remat")
    axes.set_yticks(range(len(rows)), [_name(row) for row in rows])
    axes.set_xlabel("GB that a training step adds")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
