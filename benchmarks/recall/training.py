"""The small transformer that recalls, with every row's attention, and its training."""

import time

from benchmarks.recall.rows import (
    BIDIRECTIONAL,
    BIGBIRD,
    CAUSAL,
    CLOSED,
    FULL,
    ONE,
    OPENED,
    OPENED_SUMMARY,
    QUESTIONS,
    WINDOW,
)

NUM_FILLERS = 16
SCALE = 0.5  # of what a token and a place are at first: large enough to be seen by all layers
TEST_SEED = 0  # of sequences; those of training have seeds above it


def sequences(count, stage, settings, num_queries=None, seed=TEST_SEED):
    """Returns `(token_ids, answers)` of a stage, see `generate_recall`; all keys asked if None."""
    from keras_combiner.datasets import generate_recall

    return generate_recall(
        count,
        stage["length"],
        num_pairs=stage.get("num_pairs", settings["num_pairs"]),
        num_queries=num_queries,
        gap=stage["gap"],
        num_keys=settings["num_keys"],
        num_values=settings["num_values"],
        num_fillers=NUM_FILLERS,
        seed=seed,
    )


def with_pairs_asked(token_ids, answers, stage, settings):
    """Returns the answers where the keys of the pairs are asked as well: the value after each.

    It is what a bidirectional model has to learn first: to tell the token after a key from all
    others. Without it, it takes many times as long; a causal one learns it by itself.
    """
    first = 1 + NUM_FILLERS + settings["num_keys"]
    stop = 2 * stage.get("num_pairs", settings["num_pairs"])
    answers = answers.copy()
    answers[:, 0:stop:2] = token_ids[:, 1:stop:2] - first
    return answers


def attention_of(row, layer, settings):
    """Returns the attention of a row's layer (int, from 0), a Keras layer.

    Full attention is Keras's own, which is faster than a plan that has all tokens in one block.
    """
    import keras

    from benchmarks.common.bigbird import BigBird
    from keras_combiner.factorizations import Fixed, Hierarchical, Window
    from keras_combiner.layers import CombinerAttention

    size, num_heads = settings["block_size"], settings["num_heads"]
    common = {"num_heads": num_heads, "key_dim": settings["hidden_dim"] // num_heads}
    if row == FULL:
        return keras.layers.MultiHeadAttention(**common)
    if row == WINDOW:
        plan, summary = Window(settings["window_size"]), "none"
    elif row == BIGBIRD:
        plan, summary = BigBird(size, seed=layer), "none"
    elif row in OPENED:
        count, group = OPENED[row]
        plan = Fixed(size, settings["part_size"], opened=count, choice_size=group)
        summary = OPENED_SUMMARY
    else:
        plan, summary = CLOSED[row]
        if plan == "hierarchical":
            plan = Hierarchical(settings["hierarchical_block_size"])
        else:
            plan = Fixed(size, settings["part_size"])
    return CombinerAttention(**common, factorization=plan, summary=summary)


class Transformer:
    """The layers of a row, from which models of any length are made: they share the weights.

    Args:
        row: str.
        direction: str.
        settings: dict.
    """

    def __init__(self, row, direction, settings):
        import keras

        self.causal = direction == CAUSAL
        self.width = settings["hidden_dim"]
        vocabulary_size = 1 + NUM_FILLERS + settings["num_keys"] + settings["num_values"]
        self.embedding = keras.layers.Embedding(
            vocabulary_size, self.width, keras.initializers.RandomNormal(stddev=SCALE)
        )
        self.blocks = []
        for layer in range(settings["num_layers"]):
            feedforward = [
                keras.layers.LayerNormalization(),
                keras.layers.Dense(settings["intermediate_dim"], activation="gelu"),
                keras.layers.Dense(self.width),
            ]
            norm = keras.layers.LayerNormalization()
            self.blocks.append((norm, attention_of(row, layer, settings), feedforward))
        self.output_norm = keras.layers.LayerNormalization()
        self.output = keras.layers.Dense(settings["num_values"])

    def of_length(self, length):
        """Returns a functional model, token ids `[batch, length]` to logits of all values."""
        import keras

        token_ids = keras.Input((length,), dtype="int32")
        x = self.embedding(token_ids) + positions(length, self.width)
        for norm, attention, feedforward in self.blocks:
            y = norm(x)
            x = x + attention(y, y, use_causal_mask=self.causal)
            y = x
            for sublayer in feedforward:
                y = sublayer(y)
            x = x + y
        return keras.Model(token_ids, self.output(self.output_norm(x)))


def positions(length, width, amplitude=SCALE):
    """Returns sines and cosines of every position, float32 `[1, length, width]`.

    The step to the position before is the same rotation everywhere, so that what is learned of
    short sequences holds in long ones.

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.5.
    """
    import numpy as np

    half = width // 2
    angles = np.arange(length)[:, np.newaxis] / 10000.0 ** (np.arange(half) / half)
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    return amplitude * waves[np.newaxis].astype("float32")


def compiled(model, optimizer):
    """Returns the model ready to train: the loss is that of the queries alone."""
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    model.compile(optimizer, loss, jit_compile=False)
    return model


def schedule(progress):
    """Returns the share of the learning rate: up, level, and down to zero in every stage.

    Args:
        progress: float, from 0 to 1, how much of the stage is done.
    """
    return min(10 * progress, 1.0, (1 - progress) / 0.3)


def fit(model, data, batch_size, rates, clock=time.process_time):
    """Trains a step for every learning rate; returns the processor seconds of all but the first.

    The first step builds the graph.

    Args:
        model: compiled `keras.Model`.
        data: `(token_ids, answers)`, as many sequences as the steps take.
        batch_size: int.
        rates: list of float.
        clock: callable, seconds.
    """
    started = None
    for step, rate in enumerate(rates):
        model.optimizer.learning_rate = rate
        model.train_on_batch(*(x[step * batch_size : (step + 1) * batch_size] for x in data))
        if started is None:
            started = clock()
    return clock() - started


def evaluate(model, data, batch_size):
    """Returns accuracy and loss at queries, all of them alike, a dictionary."""
    import numpy as np

    token_ids, answers = data
    logits = model.predict(token_ids, batch_size=batch_size, verbose=0)
    logits, answers = logits[answers >= 0].astype("float64"), answers[answers >= 0]
    most = logits.max(axis=1)
    total = most + np.log(np.exp(logits - most[:, np.newaxis]).sum(axis=1))
    return {
        "accuracy": float(np.mean(logits.argmax(axis=1) == answers)),
        "loss": float(np.mean(total - logits[np.arange(len(answers)), answers])),
    }


def train(direction, row, seed, settings):
    """Trains one row through all stages; returns its figures after those that are tested.

    Returns:
        dict of length (str) to a dictionary: "seconds" and "steps" of training until then, and by
        question "accuracy" and "loss".
    """
    import keras

    keras.utils.set_random_seed(seed)
    transformer = Transformer(row, direction, settings)
    optimizer = keras.optimizers.AdamW(0.0, weight_decay=0.01, clipnorm=1.0)
    seconds, steps, figures = 0.0, 0, {}
    for place, stage in enumerate(settings["stages"]):
        model = compiled(transformer.of_length(stage["length"]), optimizer)
        batch_size = stage["batch_size"]
        count = stage["steps"] * batch_size
        data = sequences(count, stage, settings, seed=1 + place + seed * len(settings["stages"]))
        if direction == BIDIRECTIONAL:
            data = data[0], with_pairs_asked(*data, stage, settings)
        rates = [
            settings["learning_rate"] * schedule(step / stage["steps"])
            for step in range(stage["steps"])
        ]
        seconds += fit(model, data, batch_size, rates)
        steps += stage["steps"]
        if stage["length"] not in settings["tested_lengths"]:
            continue
        figures[str(stage["length"])] = found = {"seconds": seconds, "steps": steps}
        for question in QUESTIONS:
            count = settings["test_sequences"][question]
            num_queries = 1 if question == ONE else None
            found[question] = evaluate(
                model, sequences(count, stage, settings, num_queries), batch_size
            )
    return figures
