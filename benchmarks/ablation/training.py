"""Small classifiers of ListOps, one a row and seed, and what they are measured by."""

import time

from benchmarks.ablation.divergence import mean_divergence, projected_heads
from benchmarks.ablation.rows import comparable, plan_of


def splits(settings):
    """Returns `(token_ids, labels)` by split, the same for every row."""
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
    """Returns a functional model, token ids `[batch, max_length]` to logits `[batch, 10]`."""
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


def train(plan, summary, seed, settings):
    """Trains one model and measures it; returns a dictionary of figures."""
    import keras

    keras.utils.set_random_seed(seed)
    data = splits(settings)
    model = classifier(plan_of(plan, settings), summary, settings)
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
    factorization = plan_of(plan, settings)
    others = [other for other in comparable(plan) if other != summary]
    figures["divergence"] = {
        summary: mean_divergence(factorization, summary, heads, masks, weights),
        **{other: mean_divergence(factorization, other, heads, masks) for other in others},
    }
    return figures


def trivial_accuracies(settings):
    """Returns test accuracies of the most common label, of all and by the root operator."""
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
