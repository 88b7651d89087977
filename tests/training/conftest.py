"""A training of a small classifier on forty texts, and one of it that was stopped."""

import io

import keras
import pytest

from keras_combiner.models import LongDocumentClassifier
from keras_combiner.training import BestModel, Checkpoints, Progress

# Of one length, so that no time goes into graphs for others.
TEXTS = [f"{('rain and wind', 'tales of kings')[i % 2]:<14} {i:02}" for i in range(40)]
LABELS = [("weather", "tale")[i % 2] for i in range(40)]
OPTIONS = {"epochs": 2, "batch_size": 8, "seed": 1, "verbose": 0, "validation_split": 0.2}


def classifier(eager=True, **options):
    keras.utils.set_random_seed(0)
    model = LongDocumentClassifier.from_texts(
        TEXTS,
        LABELS,
        sequence_length=32,
        tokenizer="bytes",
        verbose=False,
        num_layers=1,
        block_size=8,
        hidden_dim=16,
        intermediate_dim=16,
        num_heads=2,
        **options,
    )
    if eager:  # a few steps are sooner taken than compiled
        loss = "sparse_categorical_crossentropy"
        model.compile("adam", loss, metrics=["accuracy"], run_eagerly=True)
    return model


class Stop(keras.callbacks.Callback):
    """Ends training as a signal would: in the middle, with an error."""

    def __init__(self, epoch, step):
        super().__init__()
        self.at = epoch, step

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise InterruptedError


def compiled(model, learning_rate=0.01, loss="sparse_categorical_crossentropy"):
    model.compile(keras.optimizers.Adam(learning_rate), loss, run_eagerly=True)
    return model


HELD_OUT = (["rain and kings", "tales of wind"], ["weather", "tale"])


def watching(path, **options):
    return [
        Progress(io.StringIO()),
        keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True),
        BestModel(path.with_name("best.keras")),
        Checkpoints(path, every=1, **options),
    ]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The bytes of a checkpoint, and what was given to `fit`, with callbacks of each kind."""
    path = tmp_path_factory.mktemp("stopped") / "last.npz"
    given = {
        "x": TEXTS,
        "y": LABELS,
        "validation_data": HELD_OUT,
        "class_weight": {"tale": 1.5},
        "batch_size": 8,
        "epochs": 2,
        "seed": 1,
        "verbose": 0,
    }
    model = compiled(classifier(False))
    with pytest.raises(InterruptedError):
        model.fit(**given, callbacks=[*watching(path), Stop(0, 2)])
    model.save(path.with_name("model.keras"))
    return path, given
