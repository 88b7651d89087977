"""TFMOT leaves no trace in the process, and is missed by name."""

import json
import os
import subprocess
import sys

import pytest

from keras_combiner.fake_quantization import tfmot

IMPORTS = """
from keras_combiner.fake_quantization import tfmot
for name in (
    "sparsity.keras.pruning_impl",
    "sparsity.keras.pruning_schedule",
    "clustering.keras.clustering_centroids",
    "clustering.keras.clustering_algorithm",
    "quantization.keras.quant_ops",
):
    tfmot.import_module(name)
    left.append(os.environ.get("TF_USE_LEGACY_KERAS") == before)
"""
FITS = """
from keras_combiner import LongDocumentClassifier
texts, labels = ["a b", "c d"] * 2, ["x", "y"] * 2
model = LongDocumentClassifier.from_texts(
    texts, labels, sequence_length=8, tokenizer="bytes", num_layers=1, num_heads=1, hidden_dim=8,
    intermediate_dim=8,
)
pieces = optimization.MagnitudePruning(0.5), optimization.WeightClustering(4)
for callbacks in [[x] for x in pieces]:
    model.fit(texts, labels, verbose=0, callbacks=callbacks)
    left.append(os.environ.get("TF_USE_LEGACY_KERAS") == before)
optimization.quantization_aware(model).fit(texts, labels, verbose=0)
left.append(os.environ.get("TF_USE_LEGACY_KERAS") == before)
"""
PROGRAM = """
import json, os, sys
before = os.environ.get("TF_USE_LEGACY_KERAS")
import keras
import keras_combiner.optimization as optimization
lazy = "tensorflow_model_optimization" not in sys.modules
left = []
{uses}
import tensorflow as tf
print(json.dumps([lazy, left, keras.__version__, tf.keras.__version__]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "uses"),
    [(None, IMPORTS), (None, FITS), ("0", FITS)],
    ids=["imports", "fits", "fits where it is set"],
)
def test_it_leaves_no_trace(value, uses):
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    if value is not None:
        environment["TF_USE_LEGACY_KERAS"] = value
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(uses=uses)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lazy, left, *versions = json.loads(done.stdout.splitlines()[-1])
    assert lazy
    assert left == [True] * len(left)
    assert len(left) >= 3
    assert all(x.startswith("3.") for x in versions)


def test_a_missing_one_is_named(monkeypatch):
    for name in [x for x in sys.modules if x.startswith("tensorflow_model_optimization")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow_model_optimization", None)
    with pytest.raises(ImportError, match=r"keras_combiner\[tfmot\]"):
        tfmot.import_module("sparsity.keras.pruning_impl")
