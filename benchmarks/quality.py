"""Quality beside speed: the same small transformer with every attention, on three data sets.

`make quality` trains all rows of the table and writes docs/benchmarks.md; `make quality QUICK=1`
does the same on less of everything and leaves docs/ alone. What is done is kept in build/quality
(or build/quality-quick): a run that was cut off goes on where it stopped.
"""

import argparse
import concurrent.futures
import datetime
import hashlib
import json
import math
import multiprocessing
import time
from pathlib import Path

from benchmarks import quality_data, report
from benchmarks.ablation import use_one_core
from benchmarks.quality_rows import (
    BIGBIRD,
    COMBINER,
    FULL,
    ROOT_OPERATOR,
    TFIDF,
    TFIDF_TRUNCATED,
    TRUNCATED,
    WINDOW,
    WITHOUT_ATTENTION,
    is_baseline,
    rows_of,
)
from keras_combiner.whole_files import written_whole

ROOT = Path(__file__).resolve().parent.parent
SEEDS = 2  # how many; two end within five hours of two cores, three would not
SETTINGS = {
    "limit_seconds": 700,
    "short_length": 512,
    "num_layers": 2,
    "num_heads": 4,
    "hidden_dim": 64,
    "intermediate_dim": 128,
    "dropout": 0.1,
    "block_size": 64,
    "hierarchical_block_size": 16,
    "learning_rate": 2e-3,
    "datasets": {
        "sotu_era": {
            "length": 4096,
            "segment_words": 3300,
            "vocabulary_size": 8000,
            "documents": {},
            "batch_size": 4,
            "steps": 700,
            "token_dropout": 0.3,
        },
        "brown_genre": {
            "length": 3072,
            "vocabulary_size": 8000,
            "documents": {},
            "batch_size": 4,
            "steps": 700,
            "token_dropout": 0.3,
        },
        "listops": {
            "length": 2000,
            "min_length": 500,
            "documents": {"train": 6400, "validation": 0, "test": 1000},
            "batch_size": 8,
            "steps": 800,
            "token_dropout": 0.0,
        },
    },
}
START_SECONDS = 20  # about what a run takes besides, for `estimate`
# What QUICK=1 changes.
QUICK_SEEDS = 1
QUICK_LIMIT_SECONDS = 20
QUICK_STEPS = 40
QUICK_DOCUMENTS = {"train": 160, "validation": 40, "test": 60}


def attention_of(row, layer, settings):
    """The attention of a row's layer (int, from 0), a `keras.layers.Layer`; None if it has none.

    Full attention is Keras's own, which is faster than a plan that has all tokens in one block. A
    sliding window is the plan whose tokens see their own block and the blocks beside it.
    """
    import keras

    from benchmarks.bigbird import BigBird
    from keras_combiner.factorizations import Fixed, Hierarchical, Mixture
    from keras_combiner.layers import CombinerAttention

    size, num_heads = settings["block_size"], settings["num_heads"]
    # No dropout of attention weights: to draw it costs full attention more than all the rest.
    common = {"num_heads": num_heads, "key_dim": settings["hidden_dim"] // num_heads}
    if row == WITHOUT_ATTENTION:
        return None
    if row in (FULL, TRUNCATED):
        return keras.layers.MultiHeadAttention(**common)
    if row == WINDOW:
        plan, summary = Fixed(size, neighbors=1), "none"
    elif row == BIGBIRD:
        plan, summary = BigBird(size, seed=layer), "none"
    else:
        plan, summary = COMBINER[row]
    if plan == "mixture":
        plan = Mixture(["fixed", "axial_rowmajor"], block_size=size)
    elif plan == "hierarchical":
        plan = Hierarchical(settings["hierarchical_block_size"])
    return CombinerAttention(**common, factorization=plan, block_size=size, summary=summary)


def length_of(row, settings, dataset):
    """How many tokens of a document a row reads."""
    length = settings["datasets"][dataset]["length"]
    return min(length, settings["short_length"]) if row == TRUNCATED else length


def classifier(row, dataset, settings, vocabulary_size, num_classes, attention_of=attention_of):
    """Token ids `[batch, length_of(row)]` to logits `[batch, num_classes]`, a functional model.

    All rows have the same weights but those of the attention; that which reads fewer tokens too,
    positions of which it then does not use.
    """
    import keras

    from keras_combiner.layers import (
        MaskedAveragePooling,
        TokenAndPositionEmbedding,
        TokenDropout,
    )

    details = settings["datasets"][dataset]
    token_ids = keras.Input((length_of(row, settings, dataset),), dtype="int32")
    x = TokenDropout(details["token_dropout"])(token_ids)
    x = TokenAndPositionEmbedding(vocabulary_size, details["length"], settings["hidden_dim"])(x)

    def add(x, sublayers):
        y = keras.layers.LayerNormalization()(x)
        for sublayer in sublayers:
            y = sublayer(y)
        return x + keras.layers.Dropout(settings["dropout"])(y)

    for layer in range(settings["num_layers"]):
        attention = attention_of(row, layer, settings)
        if attention is not None:
            x = add(x, [lambda y, attend=attention: attend(y, y)])
        inner = keras.layers.Dense(settings["intermediate_dim"], activation="gelu")
        x = add(x, [inner, keras.layers.Dense(settings["hidden_dim"])])
    x = MaskedAveragePooling()(keras.layers.LayerNormalization()(x))
    x = keras.layers.Dropout(settings["dropout"])(x)
    return keras.Model(token_ids, keras.layers.Dense(num_classes)(x))


def compiled(model):
    """The model, ready to train; `fit` sets the learning rate."""
    import keras

    model.compile(
        keras.optimizers.AdamW(0.0, weight_decay=0.01, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model


def schedule(progress):
    """Share of the learning rate, `progress` from 0 to 1: a tenth up, then a cosine down to 0."""
    if progress < 0.1:
        return 10 * progress
    return 0.5 + 0.5 * math.cos(math.pi * (min(progress, 1.0) - 0.1) / 0.9)


def fit(model, token_ids, labels, order, settings, clock=time.process_time):
    """Trains until the steps or the seconds are used up; `(seconds, steps done)`.

    The learning rate comes down with whichever is used up first, so that a run that stops early has
    come to rest as one that does not. The first step, in which the rate is zero and the graph is
    built, does not count as time.

    Args:
        model: compiled `keras.Model`.
        token_ids: int array `[documents, length]`.
        labels: int array `[documents]`.
        order: int array `[steps, batch]`, see `quality_data.order`.
        settings: dict, "learning_rate" and "limit_seconds".
        clock: callable, seconds; of the processor, so that what else it does takes nothing from a
            run, and makes none look slow.
    """
    limit = settings["limit_seconds"]
    started = None
    for step, places in enumerate(order):
        elapsed = 0.0 if started is None else clock() - started
        if elapsed >= limit:
            return elapsed, step
        progress = max(step / len(order), elapsed / limit)
        model.optimizer.learning_rate = settings["learning_rate"] * schedule(progress)
        model.train_on_batch(token_ids[places], labels[places])
        if started is None:
            started = clock()
    return clock() - started, len(order)


def train(dataset, row, seed, settings, folder):
    """Trains one row and tests it; a dictionary of figures."""
    details = settings["datasets"][dataset]
    data = quality_data.load(dataset, details, folder)
    if is_baseline(row):
        return baseline(row, data, settings)
    import keras

    keras.utils.set_random_seed(seed)
    length = length_of(row, settings, dataset)
    ids = {split: x[:, :length] for split, x in data.token_ids.items()}
    model = classifier(row, dataset, settings, len(data.vocabulary), data.num_classes)
    batch_size = details["batch_size"]
    order = quality_data.order(len(ids["train"]), details["steps"], batch_size, seed)
    seconds, steps = fit(compiled(model), ids["train"], data.labels["train"], order, settings)
    loss, accuracy = model.evaluate(
        ids["test"], data.labels["test"], batch_size=batch_size, verbose=0
    )
    return {
        "accuracy": accuracy,
        "loss": loss,
        "seconds": seconds,
        "parameters": model.count_params(),
        "share": steps / len(order),
    }


def baseline(row, data, settings):
    """The figures of a row that is no network."""
    import numpy as np

    train_labels, test_labels = data.labels["train"], data.labels["test"]
    if row in (TFIDF, TFIDF_TRUNCATED):
        return _tfidf(row, data, settings)
    kinds = {split: np.zeros(len(x), int) for split, x in data.token_ids.items()}
    if row == ROOT_OPERATOR:
        kinds = {split: x[:, 0] for split, x in data.token_ids.items()}
    started = time.process_time()
    # Labels of every kind in the training documents, each counted once more than it occurs.
    counts = np.ones((1 + max(x.max() for x in kinds.values() if len(x)), data.num_classes))
    np.add.at(counts, (kinds["train"], train_labels), 1)
    seconds = time.process_time() - started
    shares = counts / counts.sum(1, keepdims=True)
    probabilities = shares[kinds["test"]]
    return {
        "accuracy": float(np.mean(probabilities.argmax(1) == test_labels)),
        "loss": float(-np.mean(np.log(probabilities[np.arange(len(test_labels)), test_labels]))),
        "seconds": seconds,
    }


def _tfidf(row, data, settings):
    """Logistic regression on TF-IDF, its one setting chosen on the validation documents."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import log_loss
    except ImportError as error:
        raise ImportError(
            "The TF-IDF rows need scikit-learn: pip install 'keras_combiner[datasets]'."
        ) from error

    texts, labels = data.texts, data.labels
    if row == TFIDF_TRUNCATED:
        texts = quality_data.excerpts(data, settings["short_length"])
    started = time.process_time()
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2)
    train = vectorizer.fit_transform(texts["train"])
    validation, test = (vectorizer.transform(texts[split]) for split in ("validation", "test"))
    models = [
        LogisticRegression(C=strength, max_iter=1000).fit(train, labels["train"])
        for strength in (1, 10, 100, 1000)
    ]
    best = max(models, key=lambda model: model.score(validation, labels["validation"]))
    seconds = time.process_time() - started
    return {
        "accuracy": float(best.score(test, labels["test"])),
        "loss": float(log_loss(labels["test"], best.predict_proba(test), labels=best.classes_)),
        "seconds": seconds,
        "parameters": int(best.coef_.size + best.intercept_.size),
    }


def jobs_of(settings, seeds):
    """All runs, `(dataset, row, seed)`: every row with the first seed, then with the next ones."""
    return [
        (dataset, row, seed)
        for place, seed in enumerate(seeds)
        for dataset in settings["datasets"]
        for row in rows_of(dataset)
        if place == 0 or not is_baseline(row)
    ]


def workers(count):
    """Processes that serve one run each, `count` at a time."""
    return concurrent.futures.ProcessPoolExecutor(
        count, multiprocessing.get_context("spawn"), use_one_core, max_tasks_per_child=1
    )


def path_of(job, settings, folder):
    """Where the figures of a run are kept: those of other settings are other runs."""
    dataset, row, seed = job
    relevant = {**settings, "datasets": settings["datasets"][dataset]}
    code = hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:8]
    name = f"{dataset}-{row}-{seed}-{code}.json".replace(",", "").replace(" ", "_")
    return folder / name


def run_all(settings, seeds, count, folder, train=train):
    """All runs that are not in `folder` yet, `count` at a time; figures by `(dataset, row, seed)`.

    Args:
        settings: see `SETTINGS`.
        seeds: sequence of int.
        count: int, processes.
        folder: path, where data sets and figures are kept.
        train: callable, in place of `train`.
    """
    paths = {job: path_of(job, settings, folder) for job in jobs_of(settings, seeds)}
    missing = [job for job, path in paths.items() if not path.exists()]
    print(f"{len(paths) - len(missing)} of {len(paths)} runs are done already.", flush=True)
    trained = sum(not is_baseline(row) for _, row, _ in missing)
    most = trained * settings["limit_seconds"] / count / 3600
    print(f"Training takes at most {most:.1f} h, testing not counted.", flush=True)
    started = time.monotonic()
    with workers(count) as pool:
        futures = {pool.submit(train, *job, settings, folder): job for job in missing}
        for done, future in enumerate(concurrent.futures.as_completed(futures), 1):
            job, figures = futures[future], future.result()
            with written_whole(paths[job], overwrite=True) as path:
                path.write_text(json.dumps(figures, indent=1))
            left = (time.monotonic() - started) / done * (len(missing) - done) / 60
            dataset, row, seed = job
            print(
                f"{done}/{len(missing)} {dataset}, {row}, seed {seed}: test accuracy "
                f"{figures['accuracy']:.3f}, {figures['seconds']:.0f} s; about {left:.0f} min left",
                flush=True,
            )
    return {job: json.loads(path.read_text()) for job, path in paths.items()}


def summarize(runs, settings, seeds):
    """The figures of docs/quality.json out of those of the runs."""
    figures = {}
    for dataset in settings["datasets"]:
        figures[dataset] = {}
        for row in rows_of(dataset):
            some = [runs[dataset, row, x] for x in seeds if (dataset, row, x) in runs]
            figures[dataset][row] = {name: [x[name] for x in some] for name in some[0]}
    return figures


def restore(figures, settings, seeds, folder):
    """Puts the runs of an earlier docs/quality.json back into `folder`; how many there were.

    Those of other settings, and those that are in `folder` already, are left alone.
    """
    restored = 0
    for dataset, rows in figures["rows"].items():
        for row, values in rows.items():
            done = zip(*values.values(), strict=True)
            for seed, run in zip(figures["seeds"], done, strict=False):  # a baseline has one
                job = (dataset, row, seed)
                if dataset not in settings["datasets"] or seed not in seeds:
                    continue
                path = path_of(job, settings, folder)
                if path_of(job, figures["settings"], folder) == path and not path.exists():
                    with written_whole(path) as unfinished:
                        unfinished.write_text(json.dumps(dict(zip(values, run, strict=True))))
                    restored += 1
    return restored


def speed_of(dataset, row, settings, folder, steps=3):
    """Seconds of a training step, and of testing one document, of one row."""
    details = settings["datasets"][dataset]
    data = quality_data.load(dataset, details, folder)
    length = length_of(row, settings, dataset)
    ids, labels = data.token_ids["train"][:, :length], data.labels["train"]
    model = compiled(classifier(row, dataset, settings, len(data.vocabulary), data.num_classes))
    order = quality_data.order(len(ids), 1 + steps, details["batch_size"], seed=0)
    seconds, done = fit(model, ids, labels, order, settings)
    batch = ids[order[0]]
    model.test_on_batch(batch, labels[order[0]])  # builds the graph
    started = time.process_time()
    model.test_on_batch(batch, labels[order[0]])
    return seconds / max(1, done - 1), (time.process_time() - started) / len(batch)


def estimate(settings, seeds, count, data, folder):
    """Prints how long the whole takes, by a few steps of every row."""
    total = 0.0
    with workers(1) as pool:
        trained = [job for job in jobs_of(settings, seeds[:1]) if not is_baseline(job[1])]
        for dataset, row, _ in trained:
            details = settings["datasets"][dataset]
            step, test = pool.submit(speed_of, dataset, row, settings, folder).result()
            training = min(settings["limit_seconds"], step * details["steps"])
            testing = test * data[dataset]["documents"]["test"]
            total += (training + testing + START_SECONDS) * len(seeds)
            share = training / (step * details["steps"])
            print(
                f"{dataset}, {row}: {step:.2f} s a step, {training:.0f} s of training "
                f"({share:.0%} of the steps), {testing:.0f} s of testing",
                flush=True,
            )
    print(f"The whole: about {total / count / 3600:.1f} h, {count} runs at a time.")


def describe(dataset, settings, folder):
    """What there is to know of a data set, a dictionary; makes it, if it has to be made."""
    import numpy as np

    data = quality_data.load(dataset, settings["datasets"][dataset], folder)
    lengths = np.concatenate([np.sum(x != 0, axis=1) for x in data.token_ids.values()])
    return {
        "documents": {split: len(x) for split, x in data.labels.items()},
        "tokens": round(float(lengths.mean())),
        "filled": float(np.mean(lengths == settings["datasets"][dataset]["length"])),
        "smallest_class": int(np.bincount(data.labels["train"], minlength=data.num_classes).min()),
    }


def quick(settings):
    """`settings` with fewer steps and documents, and less time."""
    datasets = {}
    for name, details in settings["datasets"].items():
        documents = {**QUICK_DOCUMENTS}
        if name == "listops":
            documents["train"] = QUICK_STEPS * details["batch_size"]
        datasets[name] = {**details, "documents": documents, "steps": QUICK_STEPS}
    return {**settings, "limit_seconds": QUICK_LIMIT_SECONDS, "datasets": datasets}


def main():
    """Runs what is missing and writes quality.json, quality.png and benchmarks.md into docs/."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, not into docs/")
    parser.add_argument("--estimate", action="store_true", help="only say how long it would take")
    parser.add_argument("--workers", type=int, default=2, help="models trained at a time")
    parser.add_argument(
        "--datasets", nargs="+", choices=quality_data.DATASETS, default=[*SETTINGS["datasets"]]
    )
    parser.add_argument("--seeds", type=int, choices=range(1, 10), default=SEEDS, help="how many")
    parser.add_argument(
        "--resume", action="store_true", help="runs of docs/quality.json count as done"
    )
    arguments = parser.parse_args()
    datasets = {name: SETTINGS["datasets"][name] for name in arguments.datasets}
    settings, seeds = {**SETTINGS, "datasets": datasets}, range(arguments.seeds)
    folder, output = ROOT / "build" / "quality", ROOT / "docs"
    if arguments.quick:
        settings, seeds = quick(settings), range(QUICK_SEEDS)
        folder = output = ROOT / "build" / "quality-quick"
    with workers(1) as pool:
        data = {
            name: pool.submit(describe, name, settings, folder).result()
            for name in arguments.datasets
        }
    if arguments.estimate:
        estimate(settings, seeds, arguments.workers, data, folder)
        return
    published = output / "quality.json"
    if arguments.resume and published.exists():
        count = restore(json.loads(published.read_text()), settings, seeds, folder)
        print(f"{count} runs are taken from {published.name}.")
    runs = run_all(settings, seeds, arguments.workers, folder)
    figures = {
        "date": datetime.date.today().isoformat(),
        "machine": report.machine(),
        "versions": report.versions(("tensorflow", "keras", "scikit-learn")),
        "settings": settings,
        "seeds": [*seeds],
        "quick": arguments.quick,
        "data": data,
        "rows": summarize(runs, settings, seeds),
    }
    report.write(output, "quality", figures)


if __name__ == "__main__":
    main()
