"""What a classifier starts from, as a table and a plot."""

import itertools
import statistics

from benchmarks.plots import pyplot
from benchmarks.speed_report import table
from benchmarks.verdicts import mean_and_spread, verdict

SCRATCH = "from random weights"
PRETRAINED = "from pretraining on the same texts"
CONVERTED = "from MiniLM, converted, whole documents"
TRUNCATED = "from MiniLM as it is, first 512 tokens"
AIM = 0.08  # by which whole documents ought to be ahead of their beginnings


def section(figures):
    """Lines of docs/benchmarks.md, every figure out of `figures`."""
    rows, documents = figures["rows"], figures["documents"]
    lines = [
        "## What a classifier starts from",
        "",
        f"Written by `make starting-points` on {figures['date']}; the figures are in "
        f"[starting_points.json](starting_points.json). {figures['machine']}; Keras "
        f"{figures['versions']['keras']}, TensorFlow {figures['versions']['tensorflow']}.",
        "",
        f"State of the Union eras: {documents['train']:,} documents of about 2,000 words to train "
        f"on, {documents['test']:,} to test. Mean over the seeds, and standard deviation where "
        "there is more than one. Training accuracy is that of the last epoch, while it trains; "
        "minutes are those of all epochs at the median one's speed, without validation.",
        "",
        *table(
            "",
            [
                "test accuracy",
                "validation",
                "training",
                "seeds",
                "parameters, million",
                "training, minutes",
            ],
            {name: _cells(runs) for name, runs in rows.items()},
        ),
        "",
        *(_settings_of(name, figures["settings"][name], runs) for name, runs in rows.items()),
        "",
    ]
    if CONVERTED in rows and TRUNCATED in rows:
        lines += [_verdict(rows, documents["test"]), ""]
    return [*lines, "![What a classifier starts from](starting_points.png)", ""]


def mean(runs, name="accuracy"):
    """A figure's mean over the seeds."""
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


def _settings_of(name, settings, runs):
    words = []
    for command in ("pretrain", "train"):
        if command in settings:
            options = ", ".join(f"{option} {x}" for option, x in settings[command].items())
            words.append(f"`{command}` with {options}")
    if "perplexity" in runs[0]:
        words.append(f"perplexity {mean(runs, 'perplexity'):.0f} after pretraining")
    return f"- {name}: {'; '.join(words)}."


def _verdict(rows, count):
    gain = mean(rows[CONVERTED]) - mean(rows[TRUNCATED])
    best = max(rows, key=lambda name: mean(rows[name]))
    rival = max((name for name in rows if name != CONVERTED), key=lambda name: mean(rows[name]))
    pairs = itertools.product(_accuracies(rows[CONVERTED]), _accuracies(rows[rival]))
    return (
        f"Whole documents are {gain * 100:+.1f} points from their beginnings (aim: at least "
        f"{AIM * 100:+.0f}, **{_met(gain >= AIM)}**). The best row is: {best} (aim: the converted "
        f"one, **{_met(best == CONVERTED)}**). Beside the best of the others, {rival}, the "
        f"converted one is **{verdict(*zip(*pairs, strict=True), count)}**: what counts is a "
        "difference from every seed by itself of more than two standard errors, by the choice of "
        f"{count:,} test documents alone."
    )


def _met(is_met):
    return "met" if is_met else "not met"


def plot(figures, path):
    """Accuracy by row, a PNG."""
    rows = figures["rows"]
    figure, axes = pyplot().subplots(figsize=(7, 0.6 + 0.6 * len(rows)))
    names = list(rows)[::-1]
    axes.barh(names, [mean(rows[name]) for name in names], color="0.8")
    for place, name in enumerate(names):
        axes.plot(_accuracies(rows[name]), [place] * len(rows[name]), "ko", ms=4)
    axes.set_xlim(0, 1)
    axes.set_xlabel("test accuracy; a dot a seed")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
