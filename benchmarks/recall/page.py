"""The figures of the recall benchmark as tables and a plot."""

import statistics

from benchmarks.common import pages, plots
from benchmarks.common.tables import mean_and_spread, table
from benchmarks.recall.rows import OPENED, QUESTIONS


def summarize(runs):
    """Returns the figures of all runs, direction -> row -> list of figures, one a seed.

    Args:
        runs: dict of direction, row and seed (tuple) to figures, those of a row by seed.
    """
    figures = {}
    for (direction, row, _), run in runs.items():
        figures.setdefault(direction, {}).setdefault(row, []).append(run)
    return figures


def tables(figures):
    """Returns the tables of docs/benchmarks.md by name, every figure out of `figures`."""
    (line,) = pages.source("make recall", "recall", figures)
    if figures["quick"]:
        line += " Made with QUICK=1: less of everything, too little to judge by."
    found = {"source": [line]}
    for direction, rows in figures["rows"].items():
        for length in figures["settings"]["tested_lengths"]:
            found[f"{direction}, {length}"] = _rows(rows, length)
    return found


def accuracies(runs, length, question):
    """Returns the accuracies of a row, a list by seed.

    Args:
        runs: list of figures, one a seed.
        length: int.
        question: str.
    """
    return [run[str(length)][question]["accuracy"] for run in runs]


def _rows(rows, length):
    titles = ["row"]
    for question in QUESTIONS:
        titles += [f"{question}: accuracy", "loss"]
    lines = []
    for row, runs in rows.items():
        cells = [row]
        for question in QUESTIONS:
            losses = [run[str(length)][question]["loss"] for run in runs]
            cells += [mean_and_spread(accuracies(runs, length, question)), mean_and_spread(losses)]
        cells.append(mean_and_spread([run[str(length)]["seconds"] for run in runs], digits=0))
        cells.append(f"{runs[0][str(length)]['steps']:,}")
        lines.append(cells)
    return table([*titles, "seconds", "steps"], lines)


def plot(figures, path):
    """Accuracy of every row against length, a panel a direction and a question, a PNG."""
    pyplot = plots.pyplot()
    directions, lengths = figures["rows"], figures["settings"]["tested_lengths"]
    figure, panels = pyplot.subplots(
        len(directions), 2, figsize=(10.5, 3.5 * len(directions) + 0.5), squeeze=False, sharey=True
    )
    colors = pyplot.get_cmap("tab20").colors
    names = list(dict.fromkeys(row for rows in directions.values() for row in rows))
    lines = {}
    for line_of_panels, (direction, rows) in zip(panels, directions.items(), strict=True):
        for axes, question in zip(line_of_panels, QUESTIONS, strict=True):
            for row, runs in rows.items():
                means = [statistics.mean(accuracies(runs, x, question)) for x in lengths]
                (lines[row],) = axes.plot(
                    lengths,
                    means,
                    color=colors[names.index(row)],
                    marker="s" if row in OPENED else "o",
                )
            axes.set_xscale("log", base=2)
            axes.set_xticks(lengths, [f"{x:,}" for x in lengths])
            axes.set_title(f"{direction}, {question}")
            axes.set_xlabel("tokens")
        line_of_panels[0].set_ylabel("accuracy at queries")
    figure.legend([lines[x] for x in names], names, fontsize=7, loc="center right")
    plots.save(figure, path, rect=(0, 0, 0.8, 1))


PAGE = pages.Page("recall", "benchmarks.md", tables, plot)
