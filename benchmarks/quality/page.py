"""The figures of the quality benchmark as tables and a plot."""

import statistics

from benchmarks.common import pages, plots
from benchmarks.common.tables import mean_and_spread, spread, table
from benchmarks.common.verdicts import verdict
from benchmarks.quality.rows import (
    COMBINER,
    DEFAULT,
    MAJORITY,
    MODELS,
    ROOT_OPERATOR,
    TFIDF,
    TFIDF_TRUNCATED,
    title,
)

TITLES = {"sotu_era": "State of the Union", "brown_genre": "Brown corpus", "listops": "ListOps"}


def tables(figures):
    """Returns the tables of docs/benchmarks.md by name, every figure out of `figures`."""
    (line,) = pages.source("make quality", "quality", figures)
    if figures["quick"]:
        line += " Made with QUICK=1: less of everything, too little to judge by."
    found = {"source": [line]}
    for name in figures["rows"]:
        found[name] = _rows(name, figures)
        found[f"{name}, default"] = _comparisons(name, figures)
    return found


def accuracies(rows, row, peer):
    """Returns the accuracies of two rows of a data set, a list each, by seed."""
    values, others = rows[row]["accuracy"], rows[peer]["accuracy"]
    if len(others) < len(values):  # a baseline, which is the same with every seed
        others = others * len(values)
    return values, others


def _rows(name, figures):
    titles = ["row", "accuracy", "loss", "seconds", "steps done", "parameters"]
    lines = []
    for row, values in figures["rows"][name].items():
        cells = [mean_and_spread(values["accuracy"]), mean_and_spread(values["loss"])]
        cells.append(mean_and_spread(values["seconds"], digits=0))
        cells.append(f"{statistics.mean(values['share']):.0%}" if "share" in values else "")
        cells.append(f"{values['parameters'][0]:,}" if "parameters" in values else "")
        lines.append([title(row, figures["settings"]), *cells])
    return table(titles, lines)


def _comparisons(name, figures):
    """Whether the layer's default is better than every row that is not Combiner's."""
    rows, count = figures["rows"][name], figures["data"][name]["documents"]["test"]
    lines = []
    for peer in rows:
        if peer in (*COMBINER, MAJORITY, ROOT_OPERATOR):
            continue
        values, others = accuracies(rows, DEFAULT, peer)
        gains = [x - y for x, y in zip(values, others, strict=True)]
        ratio = ""
        if peer in MODELS:
            seconds = [statistics.mean(rows[x]["seconds"]) for x in (DEFAULT, peer)]
            ratio = f"{seconds[0] / seconds[1]:.2f}"
        lines.append(
            [
                title(peer, figures["settings"]),
                f"**{verdict(values, others, count)}**",
                f"{statistics.mean(gains):+.3f}",
                f"{sum(x > 0 for x in gains)} of {len(gains)}",
                f"{sum(x < 0 for x in gains)} of {len(gains)}",
                ratio,
            ]
        )
    titles = ["than", "", "accuracy on average", "seeds higher", "seeds lower"]
    return table([*titles, "times the training time"], lines)


def plot(figures, path):
    """Test accuracy of every row against its training time, a panel a data set, a PNG."""
    pyplot = plots.pyplot()
    from matplotlib import ticker

    data_sets = figures["rows"]
    figure, panels = pyplot.subplots(
        1, len(data_sets), figsize=(4 * len(data_sets) + 2.5, 4.5), squeeze=False
    )
    markers = {
        **dict.fromkeys((TFIDF, TFIDF_TRUNCATED), "s"),
        **dict.fromkeys(COMBINER, "o"),
    }
    names = (TFIDF, TFIDF_TRUNCATED, *MODELS)
    colors = dict(zip(names, pyplot.get_cmap("tab20").colors, strict=False))
    lines = {}
    for axes, (name, rows) in zip(panels[0], data_sets.items(), strict=True):
        for row, values in rows.items():
            if row in (MAJORITY, ROOT_OPERATOR):  # they take no time that could be shown
                style = ":" if row == MAJORITY else "--"
                line = axes.axhline(values["accuracy"][0], linestyle=style, color="black")
                lines.setdefault(row, line)
                continue
            is_whole = min(values.get("share", [1])) == 1
            line = axes.errorbar(
                statistics.mean(values["seconds"]),
                statistics.mean(values["accuracy"]),
                yerr=spread(values["accuracy"]),
                marker=markers.get(row, "^"),
                color=colors[row],
                linestyle="",
                fillstyle="full" if is_whole else "none",
            )
            lines.setdefault(row, line)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())
        axes.set_title(TITLES[name])
        axes.set_xlabel("processor seconds of training (hollow: cut off)")
    panels[0][0].set_ylabel("test accuracy")
    labels = [title(row, figures["settings"]) for row in lines]
    figure.legend(lines.values(), labels, fontsize=7, loc="center right")
    plots.save(figure, path, rect=(0, 0, 1 - 2.5 / figure.get_figwidth(), 1))


PAGE = pages.Page("quality", "benchmarks.md", tables, plot)
