"""What the abstractions buy: every Combiner plan against itself without them, on ListOps.

`make ablation` trains small classifiers of equal size for equally many steps, three seeds each,
and writes docs/ablation.md with its plot and figures. What is done is kept in build/ablation: a run
that was cut off goes on where it stopped.
"""

import argparse
import concurrent.futures
import hashlib
import json
import multiprocessing
import os
import statistics
import time
from pathlib import Path

from benchmarks.verdicts import BETTER, WORSE, mean_and_spread, verdict
from keras_combiner.whole_files import written_whole

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "build" / "ablation"
SEEDS = (0, 1, 2)
SETTINGS = {
    "min_length": 512,
    "max_length": 1024,
    "max_depth": 10,
    "max_args": 10,
    "train_steps": 600,
    "batch_size": 16,
    "validation_examples": 500,
    "test_examples": 2000,
    "learning_rate": 2e-3,
    "num_layers": 1,
    "num_heads": 4,
    "hidden_dim": 64,
    "intermediate_dim": 128,
    "block_size": 32,
    "divergence_examples": 4,
}
# All of the layer's default plan; of the others, those that are candidates for its default summary.
SUMMARIES = {
    "fixed": ("none", "max", "mean", "deepset", "variational"),
    "logsparse": ("none", "max", "variational"),
    "axial_vertical": ("none", "max", "variational"),
}
ROWS = tuple((plan, summary) for plan, some in SUMMARIES.items() for summary in some)


def is_learned(summary):
    """Whether a summary has weights, and so belongs to the model that learned them."""
    return summary == "deepset"


def comparable(plan):
    """The summaries of a plan that can be measured on all of its models."""
    return [summary for summary in SUMMARIES[plan] if not is_learned(summary)]


def plan_of(name, settings):
    """The plan of a row, a `Factorization`."""
    from keras_combiner import factorizations

    return factorizations.get(name, settings["block_size"])


def splits(settings):
    """`(token_ids, labels)` for "train", "validation" and "test", the same for every row."""
    from keras_combiner.datasets import generate_listops

    sizes = {
        "train": settings["train_steps"] * settings["batch_size"],
        "validation": settings["validation_examples"],
        "test": settings["test_examples"],
    }
    names = ("min_length", "max_length", "max_depth", "max_args")
    token_ids, labels = generate_listops(sum(sizes.values()), **{x: settings[x] for x in names})
    found, start = {}, 0
    for name, size in sizes.items():
        found[name] = token_ids[start : start + size], labels[start : start + size]
        start += size
    return found


def classifier(plan, summary, settings):
    """Token ids `[batch, max_length]` to logits `[batch, 10]`, a functional model."""
    import keras

    from keras_combiner.datasets.listops import VOCABULARY
    from keras_combiner.layers import (
        CombinerEncoder,
        MaskedAveragePooling,
        TokenAndPositionEmbedding,
    )

    length, width = settings["max_length"], settings["hidden_dim"]
    token_ids = keras.Input((length,), dtype="int32")
    x = TokenAndPositionEmbedding(len(VOCABULARY), length, width)(token_ids)
    for _ in range(settings["num_layers"]):
        x = CombinerEncoder(
            settings["num_heads"],
            settings["intermediate_dim"],
            factorization=plan,
            summary=summary,
        )(x)
    x = keras.layers.LayerNormalization()(x)
    return keras.Model(token_ids, keras.layers.Dense(10)(MaskedAveragePooling()(x)))


def train(row, seed, settings):
    """Trains one model and measures it; a dictionary of figures."""
    import keras

    keras.utils.set_random_seed(seed)
    data = splits(settings)
    model = classifier(plan_of(row[0], settings), row[1], settings)
    steps = settings["train_steps"]
    warmup_steps = max(1, steps // 10)
    learning_rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, steps - warmup_steps),
        warmup_target=settings["learning_rate"],
        warmup_steps=warmup_steps,
    )
    model.compile(
        keras.optimizers.AdamW(learning_rate, weight_decay=0.01, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    started = time.monotonic()
    # Every example is new: the order differs by seed, the examples do not.
    model.fit(*data["train"], batch_size=settings["batch_size"], epochs=1, verbose=0)
    figures = {"seconds": time.monotonic() - started, "parameters": model.count_params()}
    for name in ("validation", "test"):
        loss, accuracy = model.evaluate(*data[name], batch_size=100, verbose=0)
        figures[name] = {"loss": loss, "accuracy": accuracy}
    token_ids = data["test"][0][: settings["divergence_examples"]]
    heads, masks, weights = projected_heads(model, token_ids)
    plan = plan_of(row[0], settings)
    own = mean_divergence(plan, row[1], heads, masks, weights)
    others = [summary for summary in comparable(row[0]) if summary != row[1]]
    others = {summary: mean_divergence(plan, summary, heads, masks) for summary in others}
    figures["divergence"] = {row[1]: own, **others}
    return figures


def use_one_core():
    """So that models trained side by side do not wait for each other."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def projected_heads(model, token_ids):
    """What divergences are measured on.

    Returns:
        The queries and keys of every layer, a list of pairs `[B, H, T, D]`; the mask `[B, T]`; and
        what every layer's plan and summaries have learned, a list of dictionaries.
    """
    import keras
    import numpy as np

    from keras_combiner.layers import CombinerEncoder

    encoders = [layer for layer in model.layers if isinstance(layer, CombinerEncoder)]
    # An encoder's inputs are the vectors, then the mask.
    inputs = [keras.tree.flatten(encoder.input)[0] for encoder in encoders]
    inputs = keras.Model(model.input, inputs)
    pairs = []
    vectors = keras.tree.flatten(inputs.predict(token_ids, verbose=0))  # no list if only one
    for encoder, x in zip(encoders, vectors, strict=True):
        x = encoder.attention_norm(x)
        attention = encoder.attention
        pairs.append(
            tuple(
                np.swapaxes(np.array(projection(x)), 1, 2)
                for projection in (attention.query_dense, attention.key_dense)
            )
        )
    return pairs, token_ids != 0, [encoder.attention.plan_weights for encoder in encoders]


def mean_divergence(plan, summary, heads, masks, weights=None):
    """Mean of KL(E || p) in nats over documents, heads, and queries that count.

    E is the effective attention matrix, p softmax attention over the same queries and keys.
    """
    import numpy as np

    total = count = 0
    weights = [None] * len(heads) if weights is None else weights
    for (query, key), learned in zip(heads, weights, strict=True):
        for b, mask in enumerate(masks):
            one = slice(b, b + 1)
            _, effective = plan.attend(
                query[one],
                key[one],
                key[one],
                padding_mask=masks[one],
                summary=summary,
                return_attention_scores=True,
                weights=learned,
            )
            effective = np.array(effective[0], "float64")[:, mask][:, :, mask]
            q, k = (x[b][:, mask].astype("float64") for x in (query, key))
            logits = q @ np.swapaxes(k, 1, 2) / np.sqrt(q.shape[-1])
            largest = logits.max(-1, keepdims=True)
            log_p = logits - largest - np.log(np.exp(logits - largest).sum(-1, keepdims=True))
            positive = effective > 0
            log_e = np.log(np.where(positive, effective, 1.0))
            rows = np.sum(effective * np.where(positive, log_e - log_p, 0.0), axis=-1)
            total += rows.sum()
            count += rows.size
    return float(total / count)


def random_divergences(settings):
    """`mean_divergence` over heads of standard normal queries and keys, a dictionary by row."""
    import numpy as np

    shape = (4, settings["num_heads"], settings["max_length"])
    shape = (*shape, settings["hidden_dim"] // settings["num_heads"])
    generator = np.random.default_rng(0)
    heads = [tuple(generator.normal(size=shape).astype("float32") for _ in "qk")]
    masks = np.ones((shape[0], shape[2]), bool)
    return {
        f"{plan} {summary}": mean_divergence(plan_of(plan, settings), summary, heads, masks)
        for plan in SUMMARIES
        for summary in comparable(plan)
    }


def trivial_accuracies(settings):
    """Test accuracy without any model: the commonest label, of all and by the root operator."""
    import numpy as np

    data = splits(settings)
    (train_ids, train_labels), (test_ids, test_labels) = data["train"], data["test"]
    roots = np.unique(train_ids[:, 0])
    best = {x: np.bincount(train_labels[train_ids[:, 0] == x]).argmax() for x in roots}
    majority = np.bincount(train_labels).argmax()
    by_root = np.array([best.get(x, majority) for x in test_ids[:, 0]])
    return {
        "majority": float(np.mean(test_labels == majority)),
        "root operator": float(np.mean(test_labels == by_root)),
    }


def run_all(settings, seeds, workers, cache, train=train):
    """All runs that are not in `cache` yet, `workers` at a time; a dictionary by row and seed."""
    code = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    paths = {
        (row, seed): cache / f"{'-'.join(row)}-{seed}-{code}.json" for row in ROWS for seed in seeds
    }
    missing = [job for job, path in paths.items() if not path.exists()]
    print(f"{len(paths) - len(missing)} of {len(paths)} runs are done already.", flush=True)
    started = time.monotonic()
    with concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), use_one_core, max_tasks_per_child=1
    ) as pool:
        jobs = {pool.submit(train, *job, settings): job for job in missing}
        for done, future in enumerate(concurrent.futures.as_completed(jobs), 1):
            row, seed = jobs[future]
            figures = future.result()
            with written_whole(paths[row, seed], overwrite=True) as path:
                path.write_text(json.dumps(figures, indent=1))
            left = (time.monotonic() - started) / done * (len(missing) - done) / 60
            print(
                f"{done}/{len(missing)} {' '.join(row)}, seed {seed}: validation accuracy "
                f"{figures['validation']['accuracy']:.3f}, {figures['seconds']:.0f} s; "
                f"about {left:.0f} min left",
                flush=True,
            )
    return {job: json.loads(path.read_text()) for job, path in paths.items()}


def summarize(runs, settings):
    """The figures of docs/ablation.json out of those of the runs."""
    seeds = sorted({seed for _, seed in runs})
    rows = []
    for plan, summary in ROWS:
        some = [runs[(plan, summary), seed] for seed in seeds]
        figures = {
            "accuracy": [x["test"]["accuracy"] for x in some],
            "loss": [x["test"]["loss"] for x in some],
            "seconds": [x["seconds"] for x in some],
        }
        figures["own divergence"] = [x["divergence"][summary] for x in some]
        if summary in comparable(plan):
            figures["divergence on all models of the plan"] = [
                statistics.mean(
                    runs[(plan, x), seed]["divergence"][summary] for x in SUMMARIES[plan]
                )
                for seed in seeds
            ]
        rows.append({"plan": plan, "summary": summary, **figures})
    return {"settings": settings, "seeds": seeds, "rows": rows}


def claims(report):
    """One sentence for every plan: whether its parts help, and by how much."""
    by_row = {(row["plan"], row["summary"]): row for row in report["rows"]}
    sentences = []
    for (plan, summary), row in by_row.items():
        sparse = by_row.get((plan, "none"))
        if sparse is None or summary == "none":
            continue
        gains = [x - y for x, y in zip(row["accuracy"], sparse["accuracy"], strict=True)]
        losses = [x - y for x, y in zip(row["loss"], sparse["loss"], strict=True)]
        found = verdict(row["accuracy"], sparse["accuracy"], report["settings"]["test_examples"])
        words = {BETTER: "holds", WORSE: "does not hold"}.get(found, "is not settled")
        sentences.append(
            f"- `{plan}`, `{summary}` against `none`: accuracy "
            f"{', '.join(f'{x:+.3f}' for x in gains)} by seed; loss {statistics.mean(losses):+.3f} "
            f"on the average, lower in {sum(x < 0 for x in losses)} of {len(losses)} seeds. The "
            f"claim {words} here."
        )
    return sentences


def defaults(report):
    """Why the layer's summary and plan are what they are, in sentences out of the figures."""
    by_row = {(row["plan"], row["summary"]): row for row in report["rows"]}
    closest = [
        min(all_models, key=all_models.get) == "variational"
        for plan in SUMMARIES
        for all_models in _divergences_by_seed(by_row, plan)
    ]
    gains = [
        x - y
        for plan in SUMMARIES
        for x, y in zip(
            by_row[plan, "variational"]["accuracy"], by_row[plan, "max"]["accuracy"], strict=True
        )
    ]
    plans = [
        f"`{plan}` {statistics.mean(by_row[plan, 'variational']['accuracy']):.3f}"
        for plan in SUMMARIES
    ]
    return [
        '- `summary="variational"`: over the same queries and keys it is the closest to softmax '
        f"attention in {sum(closest)} of {len(closest)} cases (a plan and a seed each), so that it "
        "is also the one to put weights into that were trained with softmax attention. Accuracy "
        f"here is {statistics.mean(gains):+.3f} against `max`, the paper's summary, higher in "
        f"{sum(x > 0 for x in gains)} and lower in {sum(x < 0 for x in gains)} of {len(gains)} "
        f"pairs, with a standard deviation of {statistics.stdev(gains):.3f} between them.",
        '- `factorization="fixed"`: it takes texts of any length, where the others lay out their '
        f"pattern at a static one ([what they cost](plans.md)). Accuracy here: {', '.join(plans)}.",
        "",
        "Longer expressions, and real texts: [quality beside speed]"
        "(benchmarks.md#quality-beside-speed).",
    ]


def _what_is_compared(report):
    """A caution where no row has learned more than what the first token says."""
    best = max(statistics.mean(row["accuracy"]) for row in report["rows"])
    if best > report["trivial"]["root operator"]:
        return []
    return [
        "No row gets beyond the root operator in so few steps. What is compared here is how soon "
        "and how surely a model learns to carry the first token to all others, not how well it "
        "computes the expression.",
        "",
    ]


def _divergences_by_seed(by_row, plan):
    """For every seed, the divergence of every comparable summary over the plan's models."""
    columns = {x: by_row[plan, x]["divergence on all models of the plan"] for x in comparable(plan)}
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def markdown(report):
    """docs/ablation.md, every figure out of `report`."""
    settings = report["settings"]
    lines = [
        "# What the abstractions buy",
        "",
        "Written by `make ablation`; the figures are in [ablation.json](ablation.json).",
        "",
        f"ListOps: expressions of {settings['min_length']} to {settings['max_length']} tokens, "
        f"depth at most {settings['max_depth']}, at most {settings['max_args']} arguments. "
        f"Classifiers of width {settings['hidden_dim']} (layers: {settings['num_layers']}, heads: "
        f"{settings['num_heads']}) that average over all tokens, {settings['train_steps']} steps "
        f"of {settings['batch_size']} expressions, none seen twice, block size (or grid width) "
        f"{settings['block_size']}, learning rate {settings['learning_rate']}; test accuracy and "
        f"loss over {len(report['seeds'])} seeds, mean ± standard deviation. `none` is the same "
        "plan without its parts. Divergences are KL(E || p) in nats from softmax attention over "
        "the same queries and keys: those of the model itself, those of all models of the plan, "
        "and standard normal ones (the latter two but for summaries that are learned). Seconds are "
        "the clock's, of two trainings side by side, and vary with the machine's load.",
        "",
        "| plan | summary | accuracy | loss | seconds | KL, own | KL, all | KL, random |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in report["rows"]:
        cells = [row["plan"], row["summary"]]
        cells += [mean_and_spread(row["accuracy"]), mean_and_spread(row["loss"])]
        cells.append(mean_and_spread(row["seconds"], digits=0))
        for name in ("own divergence", "divergence on all models of the plan"):
            cells.append(mean_and_spread(row[name]) if name in row else "")
        random = report["random"].get(f"{row['plan']} {row['summary']}")
        cells.append("" if random is None else f"{random:.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    trivial = report["trivial"]
    lines += [
        "",
        f"Without any model: {trivial['majority']:.3f} for the commonest label, "
        f"{trivial['root operator']:.3f} for the commonest one under the root operator, which is "
        "the first token.",
        "",
        *_what_is_compared(report),
        "![Test accuracy of every row](ablation.png)",
        "",
        "The paper's claim is that Combiner-X beats the sparse X that it comes from. It holds here "
        "where every seed says so by itself, by more than two standard errors of the difference:",
        "",
        *claims(report),
        "",
        "## The layer's defaults",
        "",
        *defaults(report),
    ]
    return "\n".join(lines) + "\n"


def plot(report, path):
    """Test accuracy of every row with its spread, a PNG."""
    from benchmarks.plots import pyplot

    rows = report["rows"]
    names = [f"{x['plan']}, {x['summary']}" for x in rows]
    means = [statistics.mean(x["accuracy"]) for x in rows]
    spreads = [statistics.stdev(x["accuracy"]) if len(x["accuracy"]) > 1 else 0 for x in rows]
    figure, axes = pyplot().subplots(figsize=(7, 0.4 * len(rows) + 1.2))
    axes.barh(names, means, xerr=spreads, color="0.7")
    axes.axvline(report["trivial"]["root operator"], linestyle=":", color="black")
    axes.invert_yaxis()
    axes.set_xlabel("test accuracy (dotted: root operator alone)")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    """Runs what is missing and writes docs/ablation.{json,md,png}."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="models trained at a time")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="number of seeds")
    parser.add_argument("--steps", type=int, default=SETTINGS["train_steps"])
    parser.add_argument("--output", type=Path, default=ROOT / "docs")
    arguments = parser.parse_args()
    settings = {**SETTINGS, "train_steps": arguments.steps}
    runs = run_all(settings, range(arguments.seeds), arguments.workers, CACHE)
    report = summarize(runs, settings)
    report["trivial"] = trivial_accuracies(settings)
    report["random"] = random_divergences(settings)
    with written_whole(arguments.output / "ablation.json", overwrite=True) as path:
        path.write_text(json.dumps(report, indent=1) + "\n")
    with written_whole(arguments.output / "ablation.png", overwrite=True) as path:
        plot(report, path)
    text = markdown(report)
    with written_whole(arguments.output / "ablation.md", overwrite=True) as path:
        path.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
