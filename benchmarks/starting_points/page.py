"""What a classifier starts from, as tables and a plot."""

import statistics

from benchmarks.common import pages, plots
from benchmarks.common.tables import mean_and_spread, table

COLUMNS = [
    *("", "test accuracy", "validation", "training", "seeds"),
    *("parameters, million", "training, minutes"),
]


def tables(figures):
    """Returns the tables of docs/benchmarks.md by name, every figure out of `figures`."""
    rows = figures["rows"]
    return {
        "source": pages.source("make starting-points", "starting_points", figures),
        "rows": table(COLUMNS, [[name, *_cells(runs)] for name, runs in rows.items()]),
        "settings": table(
            ["", "`pretrain`", "perplexity", "`train`"],
            [[name, *_settings(figures["settings"][name], runs)] for name, runs in rows.items()],
        ),
    }


def mean(runs, name="accuracy"):
    """Returns a figure's mean over the seeds."""
    return statistics.mean(run[name] for run in runs)


def _accuracies(runs):
    return [run["accuracy"] for run in runs]


def _cells(runs):
    seconds = [run["seconds"] + run.get("pretraining_seconds", 0) for run in runs]
    return [
        mean_and_spread(_accuracies(runs)),
        f"{mean(runs, 'validation_accuracy'):.3f}",
        f"{mean(runs, 'training_accuracy'):.3f}",
        str(len(runs)),
        f"{runs[0]['parameters'] / 1e6:.1f}",
        f"{statistics.mean(seconds) / 60:.0f}",
    ]


def _settings(settings, runs):
    options = {
        command: ", ".join(f"{option} {x}" for option, x in settings.get(command, {}).items())
        for command in ("pretrain", "train")
    }
    perplexity = f"{mean(runs, 'perplexity'):.0f}" if "perplexity" in runs[0] else ""
    return [options["pretrain"], perplexity, options["train"]]


def plot(figures, path):
    """Accuracy by row, a PNG."""
    rows = figures["rows"]
    figure, axes = plots.pyplot().subplots(figsize=(7, 0.6 + 0.6 * len(rows)))
    names = list(rows)[::-1]
    axes.barh(names, [mean(rows[name]) for name in names], color="0.8")
    for place, name in enumerate(names):
        axes.plot(_accuracies(rows[name]), [place] * len(rows[name]), "ko", ms=4)
    axes.set_xlim(0, 1)
    axes.set_xlabel("test accuracy; a dot a seed")
    plots.save(figure, path)


PAGE = pages.Page("starting_points", "benchmarks.md", tables, plot)
