"""Where the time of training goes, as a table and a plot."""

from benchmarks.plots import pyplot
from benchmarks.speed_report import table


def section(figures):
    """Lines of docs/benchmarks.md, every figure out of `figures`."""
    settings, seconds = figures["settings"], figures["seconds"]
    total = sum(seconds.values())
    return [
        "## Where the time of training goes",
        "",
        f"Written by `make bench` on {figures['date']}; the figures are in "
        f"[training.json](training.json). {figures['machine']}.",
        "",
        f"The classifier of size {settings['size']!r} on {settings['documents']} State of the "
        f"Union documents, read at {settings['length']:,} tokens, batches of "
        f"{settings['batch_size']}, {settings['threads']} threads: "
        f"{figures['documents_per_second']:.1f} documents a second. Shares of the time of all "
        "operations of one pass, forward and backward.",
        "",
        *table("what for", ["share"], {x: [f"{y / total:.0%}"] for x, y in seconds.items()}),
        "",
        "![Where the time of training goes](training.png)",
        "",
    ]


def plot(figures, path):
    """Seconds by purpose, a PNG."""
    seconds = figures["seconds"]
    figure, axes = pyplot().subplots(figsize=(7, 3.5))
    axes.barh([*seconds], [*seconds.values()], color="0.6")
    axes.invert_yaxis()
    axes.set_xlabel("seconds of one pass over the documents")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
