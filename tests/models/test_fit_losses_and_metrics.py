"""Losses and metrics that compare the number of a class with every output."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.ten_texts import (
    LABELS,
    TARGETS,
    TEXTS,
    make_several,
    token_ids,
)


def ordinal(y, y_pred):
    """A loss of somebody's own, which broadcasts on purpose."""
    ranks = keras.ops.arange(y_pred.shape[-1], dtype="float32")
    away = keras.ops.abs(ranks - keras.ops.reshape(keras.ops.cast(y, "float32"), (-1, 1)))
    return keras.ops.sum(away * y_pred, axis=-1)


@pytest.mark.parametrize(
    ("compiled", "words"),
    [
        ({"loss": "mse"}, "The loss 'mse' takes a target for each of 2 outputs"),
        ({"loss": keras.losses.MeanAbsoluteError(name="mine")}, "The loss mine takes"),
        ({"loss": keras.losses.huber}, "The loss .*huber.* takes a target"),
        ({"loss": "binary_crossentropy"}, "The loss 'binary_crossentropy' takes"),
        ({"loss": "categorical_crossentropy"}, "Compile with 'sparse_categorical_crossentropy'"),
        ({"metrics": ["accuracy", "AUC"]}, "The metric 'AUC' takes"),
        ({"metrics": [keras.metrics.F1Score()]}, "The metric f1_score takes"),
        ({"metrics": {"probabilities": ["mae"]}}, "The metric 'mae' takes"),
        ({"weighted_metrics": [keras.metrics.Precision()]}, "The metric precision.* takes"),
    ],
)
def test_losses_and_metrics_of_other_shapes(fits, compiled, words, shared):
    model = copy.copy(shared)
    model.compile(**{"loss": "sparse_categorical_crossentropy", **compiled})
    ids = token_ids(model)
    for y in (TARGETS, TARGETS.reshape(-1, 1), keras.ops.convert_to_tensor(TARGETS)):
        with pytest.raises(ValueError, match=words):
            model.fit(ids, y, verbose=0)
    data = tf.data.Dataset.from_tensor_slices((ids, TARGETS)).batch(2)
    for arguments in ((TEXTS, LABELS), (data,)):
        with pytest.raises(ValueError, match=words):
            model.fit(*arguments, verbose=0)
    assert not fits
    if "loss" in compiled or "metrics" in compiled:
        model.fit(ids, np.eye(2)[TARGETS], verbose=0)  # which they are for
        assert len(fits) == 1


@pytest.mark.parametrize(
    "compiled",
    [
        {"loss": ordinal},
        {"loss": keras.losses.SparseCategoricalCrossentropy(), "metrics": ["accuracy"]},
        {"metrics": ["acc", "crossentropy", keras.metrics.SparseTopKCategoricalAccuracy(2)]},
        {"metrics": [ordinal, keras.metrics.MeanMetricWrapper(ordinal)]},
    ],
)
def test_losses_and_metrics_of_the_right_shapes(fits, compiled, shared):
    model = copy.copy(shared)
    model.compile(**{"loss": "sparse_categorical_crossentropy", **compiled})
    for x, y in ((TEXTS, LABELS), (token_ids(model), TARGETS)):
        model.fit(x, y, verbose=0)
    assert len(fits) == 2


def test_targets_of_several_labels_are_rows(fits):
    model = make_several()
    model.compile("sgd", "mse")
    for y in (TARGETS, TARGETS.reshape(-1, 1)):
        with pytest.raises(ValueError, match=r"Pass targets of shape \[documents, labels\]"):
            model.fit(token_ids(model), y, verbose=0)
    model.fit(TEXTS, [[x] for x in LABELS], verbose=0)
    model.fit(token_ids(model), np.eye(2)[TARGETS], verbose=0)
    assert len(fits) == 2
