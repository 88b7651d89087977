"""What rematerialization saves, as a table and a plot."""

from benchmarks.common import pages, plots
from benchmarks.common.tables import table


def tables(figures):
    """Returns the tables of docs/benchmarks.md by name, every figure out of `figures`."""
    return {
        "source": pages.source("make bench", "remat", figures),
        "memory and time": table(
            ["backbone", "GB", "GB, `remat`", "memory", "time"],
            [[_name(row), *_cells(row)] for row in figures["rows"]],
        ),
    }


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
    figure, axes = plots.pyplot().subplots(figsize=(7, 0.8 + 0.7 * len(rows)))
    for offset, name, color in ((0.2, "without", "0.75"), (-0.2, "with", "0.35")):
        gigabytes = [row[name]["bytes"] / 1e9 for row in rows]
        places = [place + offset for place in range(len(rows))]
        axes.barh(places, gigabytes, 0.4, color=color, label=f"{name} remat")
    axes.set_yticks(range(len(rows)), [_name(row) for row in rows])
    axes.set_xlabel("GB that a training step adds")
    axes.legend()
    plots.save(figure, path)


PAGE = pages.Page("remat", "benchmarks.md", tables, plot)
