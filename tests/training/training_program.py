"""A training that ends alike on one device, on two, and in two processes."""

import json
import pathlib
import sys

import keras
import numpy as np

from keras_combiner.models import LongDocumentClassifier

# The last batch of five has one row, fewer than there are replicas; classes differ in number.
TEXTS = [f"{('rain and wind', 'tales of kings')[i % 3 == 0]} " * (1 + i % 4) for i in range(21)]
LABELS = [("weather", "tale")[i % 3 == 0] for i in range(21)]
WEIGHTS = [(1.0, 0.5, 3.0, 0.0)[i % 4] for i in range(21)]


def train(callbacks=(), eager=False, several=False, weights=None, classes="balanced", **options):
    """History and weights of a training without dropout, which replicas would draw otherwise."""
    keras.utils.set_random_seed(0)
    labels = [[x] for x in LABELS] if several else LABELS
    model = LongDocumentClassifier.from_texts(
        TEXTS,
        labels,
        task="multi_label" if several else "single_label",
        sequence_length=64,
        tokenizer="bytes",
        verbose=False,
        num_layers=1,
        block_size=8,
        hidden_dim=16,
        intermediate_dim=16,
        num_heads=2,
        **{"dropout": 0.0, "token_dropout": 0.0, "lexical": False, **options},
    )
    if eager:
        optimizer = keras.optimizers.AdamW(0.01, clipnorm=0.1, gradient_accumulation_steps=2)
        loss = model.task.loss
        model.compile(optimizer, loss, metrics=["accuracy"], run_eagerly=True)
    history = model.fit(
        TEXTS,
        labels,
        validation_data=(TEXTS[:6], labels[:6]),
        epochs=2,
        batch_size=5,
        seed=1,
        class_weight=classes,
        sample_weight=weights,
        gradient_accumulation_steps=None if eager else 2,
        callbacks=list(callbacks),
        verbose=0,
    ).history
    return history, model


def assert_same(one, other, tolerance):
    (history, weights), (expected, expected_weights) = one, other
    assert history.keys() == expected.keys()
    for name in history:
        np.testing.assert_allclose(history[name], expected[name], atol=tolerance, err_msg=name)
    assert weights.keys() == expected_weights.keys()
    for path, found in weights.items():
        # Attention does not depend on it: Adam makes steps out of the rounding of zero.
        if not path.endswith("key/bias"):
            np.testing.assert_allclose(found, expected_weights[path], atol=tolerance, err_msg=path)


def weights_of(model):
    # Keras counts the models of a process in the beginnings of their paths.
    names = ["/".join(x.path.split("/")[-2:]) for x in model.weights]
    return {
        f"{i}:{name}": np.asarray(x)
        for i, (name, x) in enumerate(zip(names, model.weights, strict=True))
    }


def save(path, history, model):
    np.savez(path, history=np.array(json.dumps(history)), **weights_of(model))


def load(path):
    with np.load(path) as file:
        weights = dict(file)
    return json.loads(str(weights.pop("history"))), weights


def two_devices():
    import tensorflow as tf

    from keras_combiner.training import Distributed

    device = tf.config.list_physical_devices("CPU")[0]
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(device, halves)
    distributed = Distributed("mirrored")
    assert distributed.strategy.num_replicas_in_sync == 2
    return distributed


def mirrored(folder):
    distributed = two_devices()
    save(folder / "two.npz", *train([distributed], eager=True))
    save(folder / "one.npz", *train(eager=True))


def weighted(folder):
    """Of documents with weights of their own and several labels each."""
    distributed = two_devices()
    options = {"eager": True, "several": True, "weights": WEIGHTS}
    save(folder / "two.npz", *train([distributed], **options))
    save(folder / "one.npz", *train(**options))


def dropout(folder):
    """Twice on two devices, and in graphs, as users have it."""
    distributed = two_devices()
    for i in range(2):
        save(folder / f"{i}.npz", *train([distributed], dropout=0.5, token_dropout=0.5))


def command(folder):
    """The command on two devices, with options that change what a step is."""
    from keras_combiner.cli.main import main

    two_devices()
    columns = zip(TEXTS, LABELS, WEIGHTS, strict=True)
    rows = (json.dumps({"text": x, "labels": [y], "w": w}) for x, y, w in columns)
    (folder / "texts.jsonl").write_text("\n".join(rows))
    options = (
        "--tokenizer bytes --sequence-length 32 --long-texts windows --validation-split 0.2 "
        "--epochs 2 --batch-size 5 --block-size 8 --strategy mirrored --mixed-precision bfloat16 "
        "--accumulate 2 --class-weight balanced --weight-field w --patience 1"
    )
    paths = ["--data", str(folder / "texts.jsonl"), "--output", str(folder / "out")]
    sys.exit(main(["train", *paths, *options.split()]))


def worker(folder):
    """Every worker has a folder of its own here, to show which of them write."""
    from keras_combiner.training import BestModel, Checkpoints, Distributed

    distributed = Distributed("multi_worker")
    own = folder / ("chief" if distributed.is_chief else "other")
    own.mkdir()
    options = {"write": distributed.is_chief}
    best, last = BestModel(own / "best.keras", **options), Checkpoints(own / "last.npz", **options)
    history, model = train([distributed, best, last])
    print("position", last.position, "best", best.epoch)
    distributed.agree()
    print("wrote", sorted(x.name for x in own.iterdir()))
    save(folder / f"worker-{distributed.is_chief:d}.npz", history, model)
    for refused in (
        lambda: distributed.agree(documents=distributed.is_chief),
        lambda: train([distributed], classes={"tale": 2.0} if distributed.is_chief else None),
        lambda: train([distributed], weights=WEIGHTS if distributed.is_chief else None),
    ):
        try:
            refused()
        except ValueError as error:
            print(f"refused: {error}")


if __name__ == "__main__":
    program = {x.__name__: x for x in (mirrored, weighted, dropout, command, worker)}[sys.argv[1]]
    program(pathlib.Path(sys.argv[2]))
