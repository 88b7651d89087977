"""The figures of the quality benchmark as tables, sentences and a plot."""

import statistics

from benchmarks.quality_rows import (
    BIGBIRD,
    COMBINER,
    DEFAULT,
    FULL,
    MAJORITY,
    MODELS,
    ROOT_OPERATOR,
    TFIDF,
    TFIDF_TRUNCATED,
    TRUNCATED,
    WINDOW,
    WITHOUT_ATTENTION,
)
from benchmarks.speed_report import table
from benchmarks.verdicts import BETTER, is_level, mean_and_spread, standard_error, verdict

TITLES = {
    "sotu_era": "State of the Union: which of ten eras an address is from",
    "brown_genre": "Brown corpus: which of fifteen genres a text is of",
    "listops": "ListOps: the value of a nested expression",
}


def title(row, settings):
    """The name of a row in tables."""
    return row.replace("truncated", f"first {settings['short_length']} tokens")


def mean_accuracy(rows, row):
    """Test accuracy over the seeds."""
    return statistics.mean(rows[row]["accuracy"])


def _names(rows, settings):
    return ", ".join(f"{title(x, settings)}" for x in rows)


def _pairs(rows, row, peer):
    """The accuracies of two rows, a list a row, by seed."""
    values, others = rows[row]["accuracy"], rows[peer]["accuracy"]
    if len(others) < len(values):  # a baseline, which is the same with every seed
        others = others * len(values)
    return values, others


def comparison(rows, row, peer, settings, count):
    """A sentence on whether `row` is better than `peer`, by `count` test documents."""
    values, others = _pairs(rows, row, peer)
    gains = [x - y for x, y in zip(values, others, strict=True)]
    better, worse = sum(x > 0 for x in gains), sum(x < 0 for x in gains)
    sentence = (
        f"- Than {title(peer, settings)}: **{verdict(values, others, count)}**; accuracy "
        f"{statistics.mean(gains):+.3f} on the average, higher in {better} and lower in {worse} of "
        f"{len(gains)} seeds"
    )
    if peer in MODELS:
        ratio = statistics.mean(rows[row]["seconds"]) / statistics.mean(rows[peer]["seconds"])
        sentence += f", after {ratio:.2f} times the training time"
        share = statistics.mean(rows[peer]["share"])
        if share < 1:
            sentence += f" (the peer had {share:.0%} of the steps when its time was up)"
    return sentence + "."


def conclusions(rows, data, settings):
    """Sentences out of one data set's figures, a list of str."""
    networks = [x for x in rows if x in MODELS]
    best = max(rows, key=lambda x: mean_accuracy(rows, x))
    best_combiner = max(COMBINER, key=lambda x: mean_accuracy(rows, x))
    highest, count = mean_accuracy(rows, best), data["documents"]["test"]
    lines = [
        f"The highest accuracy is {highest:.3f}, {title(best, settings)}'s; the highest of "
        f"Combiner {mean_accuracy(rows, best_combiner):.3f}, of `{best_combiner}`. The choice of "
        f"{count:,} test documents alone is good for a standard error of "
        f"{standard_error(highest, count=count):.3f} near the highest, "
        f"{standard_error(highest, highest, count=count):.3f} for the difference of two rows: less "
        "than twice that means little.",
        "",
    ]
    if ROOT_OPERATOR in rows:
        lines += _beside_the_root(rows, networks, settings, count)
    slow = [x for x in networks if statistics.mean(rows[x]["share"]) < 1]
    if slow:
        lines += [
            f"Stopped by the limit of {settings['limit_seconds']:,} s before their steps were "
            f"done, and tested as they were: {_names(slow, settings)}.",
            "",
        ]
    lines += [
        f"Is `{DEFAULT}`, the layer's default, better? Settled is what every seed says by itself, "
        "by more than two standard errors of the difference.",
        "",
    ]
    peers = [x for x in rows if x not in COMBINER and x not in (MAJORITY, ROOT_OPERATOR)]
    lines += [comparison(rows, DEFAULT, peer, settings, count) for peer in peers]
    unbeaten = [x for x in peers if mean_accuracy(rows, x) >= mean_accuracy(rows, best_combiner)]
    lines += [
        "",
        f"What no Combiner row beats on the average here: {_names(unbeaten, settings)}."
        if unbeaten
        else "At least one Combiner row is above every other row on the average here.",
        "",
    ]
    return lines


def _beside_the_root(rows, networks, settings, count):
    def beside(row):
        return [x for x in networks if is_level(*_pairs(rows, x, row), count)]

    beyond = [x for x in networks if verdict(*_pairs(rows, x, ROOT_OPERATOR), count) == BETTER]
    text = (
        "Beyond the root operator, which is the first token, by more than two standard errors in "
        f"every seed: {_names(beyond, settings)}."
        if beyond
        else "No network gets beyond the root operator, which is the first token, with every seed "
        "in so few steps: what is compared is how soon a model learns to carry the first token to "
        "all others."
    )
    if level := beside(ROOT_OPERATOR):
        text += f" As far as it with every seed: {_names(level, settings)}."
    if level := beside(MAJORITY):
        text += f" No further than the commonest label with any: {_names(level, settings)}."
    return [text, ""]


def _row_cells(figures):
    cells = [mean_and_spread(figures["accuracy"]), mean_and_spread(figures["loss"])]
    cells.append(mean_and_spread(figures["seconds"], digits=0))
    share = figures.get("share")
    cells.append(f"{statistics.mean(share):.0%}" if share else "")
    parameters = figures.get("parameters")
    return [*cells, f"{parameters[0]:,}" if parameters else ""]


def _data_set(name, figures):
    settings, data = figures["settings"], figures["data"][name]
    details, rows = settings["datasets"][name], figures["rows"][name]
    counts = data["documents"]
    sentences = [
        f"{counts['train']:,} training, {counts['validation']:,} validation and "
        f"{counts['test']:,} test documents of {data['tokens']:,} tokens on the average, read at "
        f"{details['length']:,}: {data['filled']:.0%} of the documents are that long or longer.",
        f"{details['steps']:,} steps of {details['batch_size']} documents.",
    ]
    if name != "listops":
        sentences.append(
            f"Small: the rarest class has {data['smallest_class']} training documents, so that "
            f"{details['token_dropout']:.0%} of the tokens are left out anew in every step."
        )
    return [
        f"### {TITLES[name]}",
        "",
        " ".join(sentences),
        "",
        *table(
            "row",
            ["accuracy", "loss", "seconds", "steps done", "parameters"],
            {title(row, settings): _row_cells(x) for row, x in rows.items()},
        ),
        "",
        *conclusions(rows, data, settings),
    ]


def section(figures):
    """Lines of docs/benchmarks.md, every figure out of `figures`."""
    settings = figures["settings"]
    size, seeds = settings["block_size"], ", ".join(map(str, figures["seeds"]))
    short = settings["short_length"]
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    quick = "Made with QUICK=1: less of everything, too little to judge by. "
    return [
        "## Quality beside speed",
        "",
        f"Written by `make quality` on {figures['date']}; the figures are in "
        f"[quality.json](quality.json). {figures['machine']}; {versions}. "
        f"{quick if figures['quick'] else ''}One core a run; seconds are those that the "
        "processor spent in training, without the first step, which builds the graph.",
        "",
        f"One small transformer (layers: {settings['num_layers']}, width "
        f"{settings['hidden_dim']}, heads: {settings['num_heads']}, feed-forward "
        f"{settings['intermediate_dim']}; word pieces learned from the training documents; the "
        "average over all tokens is classified) from scratch with every attention: equal sizes, "
        "steps (but for those stopped by the limit of time) and order of the documents, which the "
        f"seed decides. Seeds: {seeds}; mean ± "
        "standard deviation. The learning rate rises to "
        f"{settings['learning_rate']} in the first tenth and falls to zero with the steps, or "
        f"with the time limit of {settings['limit_seconds']:,} s where that comes first: a run "
        "stops there, and the table says how many of its steps it had done. Nothing was chosen by "
        "the test documents, and nothing was tuned for a row.",
        "",
        f"- `{MAJORITY}`: the commonest label. `{ROOT_OPERATOR}`: the commonest under the first "
        f"token. `{TFIDF}`: logistic regression on the TF-IDF of words, all text or the first "
        f"{short} tokens; its one setting is chosen on the validation documents.",
        f"- `{WITHOUT_ATTENTION}`: the same transformer with its feed-forward layers only, so that "
        "embeddings are averaged.",
        f"- `{title(TRUNCATED, settings)}`: full attention over {short} tokens; what follows is "
        f"not read. `{FULL}`: softmax attention over all of them.",
        f"- `{WINDOW}`: the own block of {size} tokens and the blocks beside it. `{BIGBIRD}`: "
        "that, the first and the last block, which see everything too, and three random blocks, "
        "in this benchmark's own code, which is not Model Garden's of the speed tables.",
        f"- Combiner with blocks (grid width) of {size}, of "
        f"{settings['hierarchical_block_size']} for hierarchical; `max` is the paper's summary, "
        "all others have the layer's default, `variational`; mixture is of fixed and "
        "axial_rowmajor.",
        "",
        *(line for name in figures["rows"] for line in _data_set(name, figures)),
        "![Accuracy against training time](quality.png)",
        "",
    ]


def plot(figures, path):
    """Test accuracy of every row against its training time, a panel a data set, a PNG."""
    from benchmarks.plots import pyplot

    plots = pyplot()
    from matplotlib import ticker

    data_sets = figures["rows"]
    figure, panels = plots.subplots(
        1, len(data_sets), figsize=(4 * len(data_sets) + 2.5, 4.5), squeeze=False
    )
    markers = {
        **dict.fromkeys((TFIDF, TFIDF_TRUNCATED), "s"),
        **dict.fromkeys(COMBINER, "o"),
    }
    names = (TFIDF, TFIDF_TRUNCATED, *MODELS)
    colors = dict(zip(names, plots.get_cmap("tab20").colors, strict=False))
    lines = {}
    for axes, (name, rows) in zip(panels[0], data_sets.items(), strict=True):
        for row, values in rows.items():
            if row in (MAJORITY, ROOT_OPERATOR):  # they take no time that could be shown
                style = ":" if row == MAJORITY else "--"
                line = axes.axhline(values["accuracy"][0], linestyle=style, color="black")
                lines.setdefault(row, line)
                continue
            spread = statistics.stdev(values["accuracy"]) if len(values["accuracy"]) > 1 else 0
            is_whole = min(values.get("share", [1])) == 1
            line = axes.errorbar(
                statistics.mean(values["seconds"]),
                statistics.mean(values["accuracy"]),
                yerr=spread,
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
        axes.set_title(TITLES[name].split(":")[0])
        axes.set_xlabel("processor seconds of training (hollow: cut off)")
    panels[0][0].set_ylabel("test accuracy")
    figure.tight_layout(rect=(0, 0, 1 - 2.5 / figure.get_figwidth(), 1))
    labels = [title(row, figures["settings"]) for row in lines]
    figure.legend(lines.values(), labels, fontsize=7, loc="center right")
    figure.savefig(path, dpi=120)
