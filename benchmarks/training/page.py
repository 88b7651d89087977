"""Where the time of training goes, as a table and a plot."""

from benchmarks.common import pages, plots
from benchmarks.common.tables import table


def tables(figures):
    """Returns the tables of docs/benchmarks.md by name, every figure out of `figures`."""
    seconds = figures["seconds"]
    total = sum(seconds.values())
    return {
        "source": pages.source("make bench", "training", figures),
        "shares": table(
            ["what for", "share"], [[name, f"{x / total:.0%}"] for name, x in seconds.items()]
        ),
    }


def plot(figures, path):
    """Seconds by purpose, a PNG."""
    seconds = figures["seconds"]
    figure, axes = plots.pyplot().subplots(figsize=(7, 3.5))
    axes.barh([*seconds], [*seconds.values()], color="0.6")
    axes.invert_yaxis()
    axes.set_xlabel("seconds of one pass over the documents")
    plots.save(figure, path)


PAGE = pages.Page("training", "benchmarks.md", tables, plot)
