"""Trainings under JAX over several devices, for another process: see `tests.on_backend`."""

import functools
import os

import keras
import numpy as np

from keras_combiner.models import CombinerBackbone, LongDocumentClassifier
from keras_combiner.text import ByteTokenizer
from tests.factorizations.plans import PLANS

LENGTH = 32
TOKEN_IDS = np.random.default_rng(0).integers(3, 200, size=(16, LENGTH), dtype="int32")
TOKEN_IDS[1::3, 20:] = 0
TARGETS = np.arange(16) % 2


def classifier(plan="fixed", **options):
    keras.utils.set_random_seed(0)
    tokenizer = ByteTokenizer()
    backbone = CombinerBackbone(
        tokenizer.vocabulary_size,
        LENGTH,
        num_layers=1,
        num_heads=4,
        hidden_dim=16,
        intermediate_dim=24,
        dropout=0.0,
        factorization=plan,
        block_size=8,
        static_length=True,
        **options,
    )
    return LongDocumentClassifier(
        backbone, tokenizer, ["no", "yes"], dropout=0.0, token_dropout=0.0
    )


def compiled(distribution, **options):
    keras.distribution.set_distribution(distribution)
    model = classifier(**options)
    optimizer = keras.optimizers.AdamW(0.01, clipnorm=1.0)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def losses(model, epochs):
    fitted = model.fit(TOKEN_IDS, TARGETS, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return np.array(fitted.history["loss"])


def trained(distribution):
    model = compiled(distribution)
    results = {
        "outputs": np.asarray(model.predict(TOKEN_IDS, verbose=0)),
        "losses": losses(model, epochs=3),
        "outputs after training": np.asarray(model.predict(TOKEN_IDS, verbose=0)),
    }
    return model, results


def data_parallel():
    return keras.distribution.DataParallel(devices=keras.distribution.list_devices())


def model_parallel():
    from keras_combiner.training import layout_map

    devices = keras.distribution.list_devices()
    mesh = keras.distribution.DeviceMesh((2, 2), ["batch", "model"], devices)
    return keras.distribution.ModelParallel(layout_map=layout_map(mesh), batch_dim_name="batch")


def shapes_of_shards(variables):
    shapes = {}
    for x in variables:
        shards = {tuple(shard.data.shape) for shard in x.value.addressable_shards}
        shapes[x.path] = tuple(x.shape), shards, len(x.value.sharding.device_set)
    return shapes


def in_three_ways(path):
    """Results of one device, of data and of model parallel training; shards of the last two."""
    results = {"single": trained(None)[1]}
    shards = {}
    for name, distribution in (("data", data_parallel()), ("model", model_parallel())):
        model, results[name] = trained(distribution)
        shards[name] = shapes_of_shards([*model.weights, *model.optimizer.variables])
    model.save(path)
    return results, shards


def with_every_plan():
    """Losses of every plan, on one device and on four."""
    return {
        name: [losses(compiled(x, plan=plan), epochs=1) for x in (None, data_parallel())]
        for name, plan in PLANS.items()
    }


def run_page(code, folder):
    """Runs the Python of a page."""
    os.chdir(folder)
    for block in code:
        exec(compile(block, "page.md", "exec"), globals_of_page())


@functools.cache
def globals_of_page():
    return {}
