"""What the abstractions buy, as tables and a plot."""

import statistics

from benchmarks.ablation.rows import ROWS, SUMMARIES, comparable
from benchmarks.common import pages, plots
from benchmarks.common.tables import mean_and_spread, spread, table
from benchmarks.common.verdicts import BETTER, WORSE, verdict

OWN, ALL = "own divergence", "divergence on all models of the plan"


def summarize(runs, settings):
    """Returns the figures of docs/ablation.json out of those of the runs.

    Args:
        runs: dict of plan, summary and seed (tuple) to figures.
        settings: dict.
    """
    seeds = sorted({seed for *_, seed in runs})
    rows = []
    for plan, summary in ROWS:
        some = [runs[plan, summary, seed] for seed in seeds]
        figures = {
            "accuracy": [x["test"]["accuracy"] for x in some],
            "loss": [x["test"]["loss"] for x in some],
            "seconds": [x["seconds"] for x in some],
        }
        figures[OWN] = [x["divergence"][summary] for x in some]
        if summary in comparable(plan):
            figures[ALL] = [
                statistics.mean(runs[plan, x, seed]["divergence"][summary] for x in SUMMARIES[plan])
                for seed in seeds
            ]
        rows.append({"plan": plan, "summary": summary, **figures})
    return {"settings": settings, "seeds": seeds, "rows": rows}


def tables(figures):
    """Returns the tables of docs/ablation.md by name, every figure out of `figures`."""
    return {
        "source": pages.source("make ablation", "ablation", figures),
        "rows": _rows(figures),
        "claims": _claims(figures),
    }


def _rows(figures):
    titles = [
        *("plan", "summary", "accuracy", "loss", "seconds"),
        *("KL, own", "KL, all", "KL, random"),
    ]
    rows = []
    for row in figures["rows"]:
        cells = [row["plan"], row["summary"]]
        cells += [mean_and_spread(row["accuracy"]), mean_and_spread(row["loss"])]
        cells.append(mean_and_spread(row["seconds"], digits=0))
        cells += [mean_and_spread(row[name]) if name in row else "" for name in (OWN, ALL)]
        random = figures["random"].get(f"{row['plan']} {row['summary']}")
        rows.append([*cells, "" if random is None else f"{random:.3f}"])
    return table(titles, rows)


def _claims(figures):
    """Whether every plan is better with parts than without, by every kind of summary."""
    by_row = {(row["plan"], row["summary"]): row for row in figures["rows"]}
    words = {BETTER: "holds", WORSE: "does not hold"}
    rows = []
    for (plan, summary), row in by_row.items():
        sparse = by_row.get((plan, "none"))
        if sparse is None or summary == "none":
            continue
        gains = [x - y for x, y in zip(row["accuracy"], sparse["accuracy"], strict=True)]
        losses = [x - y for x, y in zip(row["loss"], sparse["loss"], strict=True)]
        found = verdict(row["accuracy"], sparse["accuracy"], figures["settings"]["test_examples"])
        cells = [
            f"`{plan}`, `{summary}`",
            ", ".join(f"{x:+.3f}" for x in gains),
            f"{statistics.mean(losses):+.3f}",
            f"{sum(x < 0 for x in losses)} of {len(losses)} seeds",
            words.get(found, found),
        ]
        rows.append(cells)
    titles = ["against `none`", "accuracy by seed", "loss on average", "loss lower in"]
    return table([*titles, "the claim"], rows)


def plot(figures, path):
    """Test accuracy of every row with its spread, a PNG."""
    rows = figures["rows"]
    names = [f"{x['plan']}, {x['summary']}" for x in rows]
    means = [statistics.mean(x["accuracy"]) for x in rows]
    spreads = [spread(x["accuracy"]) for x in rows]
    figure, axes = plots.pyplot().subplots(figsize=(7, 0.4 * len(rows) + 1.2))
    axes.barh(names, means, xerr=spreads, color="0.7")
    axes.axvline(figures["trivial"]["root operator"], linestyle=":", color="black")
    axes.invert_yaxis()
    axes.set_xlabel("test accuracy (dotted: root operator alone)")
    plots.save(figure, path)


PAGE = pages.Page("ablation", "ablation.md", tables, plot)
