"""The transformer of the quality benchmark, with every row's attention, and its training."""

import math
import time

from benchmarks.quality import baselines
from benchmarks.quality import data as data_sets
from benchmarks.quality.rows import (
    BIGBIRD,
    COMBINER,
    FULL,
    TRUNCATED,
    WINDOW,
    WITHOUT_ATTENTION,
    is_baseline,
)


def attention_of(row, layer, settings):
    """Returns the attention of a row's layer (int, from 0), a Keras layer; None if it has none.

    Full attention is Keras's own, which is faster than a plan that has all tokens in one block. A
    sliding window is the plan whose tokens see their own block and the blocks beside it.
    """
    import keras

    from benchmarks.common.bigbird import BigBird
    from keras_combiner.factorizations import Fixed, Hierarchical, Mixture
    from keras_combiner.layers import CombinerAttention

    size, num_heads = settings["block_size"], settings["num_heads"]
    own = settings["rows"].get(row, {})
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
    if plan == "first block":
        plan = Fixed(size, first_blocks=own["first_blocks"])
    elif plan == "mixture":
        plan = Mixture(["fixed", "axial_rowmajor"], block_size=size)
    elif plan == "hierarchical":
        plan = Hierarchical(settings["hierarchical_block_size"])
    return CombinerAttention(
        **common,
        factorization=plan,
        block_size=size,
        summary=summary,
        locality=own.get("locality", 0.0),
    )


def length_of(row, settings, dataset):
    """Returns how many tokens of a document a row reads."""
    length = settings["datasets"][dataset]["length"]
    return min(length, settings["short_length"]) if row == TRUNCATED else length


def classifier(row, dataset, settings, vocabulary_size, num_classes, attention_of=attention_of):
    """Returns a functional model, token ids `[batch, length_of(row)]` to `[batch, num_classes]`.

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
    """Returns the model ready to train; `fit` sets the learning rate."""
    import keras

    model.compile(
        keras.optimizers.AdamW(0.0, weight_decay=0.01, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model


def schedule(progress):
    """Returns the share of the learning rate, `progress` from 0 to 1: up, then a cosine down."""
    if progress < 0.1:
        return 10 * progress
    return 0.5 + 0.5 * math.cos(math.pi * (min(progress, 1.0) - 0.1) / 0.9)


def fit(model, token_ids, labels, order, settings, clock=time.process_time):
    """Trains until steps or seconds are used up; returns `(seconds, steps done)`.

    The learning rate comes down with whichever is used up first, so that it ends at zero in a run
    that stops early, too. The first step, in which the rate is zero and the graph is built, does
    not count as time.

    Args:
        model: compiled `keras.Model`.
        token_ids: int array `[documents, length]`.
        labels: int array `[documents]`.
        order: int array `[steps, batch]`, see `data.order`.
        settings: dict, "learning_rate" and "limit_seconds".
        clock: callable, seconds; processor time, so that other work does not count.
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
    """Trains one row and tests it; returns a dictionary of figures."""
    details = settings["datasets"][dataset]
    data = data_sets.load(dataset, details, folder)
    if is_baseline(row):
        return baselines.figures(row, data, settings)
    import keras

    keras.utils.set_random_seed(seed)
    length = length_of(row, settings, dataset)
    ids = {split: x[:, :length] for split, x in data.token_ids.items()}
    model = classifier(row, dataset, settings, len(data.vocabulary), data.num_classes)
    batch_size = details["batch_size"]
    order = data_sets.order(len(ids["train"]), details["steps"], batch_size, seed)
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
