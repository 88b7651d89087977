"""Clustered weights have few values, and a file of them compresses."""

import gzip

import keras
import numpy as np
import pytest

from keras_combiner.optimization import WeightClustering, fine_tuned
from tests.eagerly import eagerly


@pytest.fixture(scope="module")
def clustered(classifier, data):
    clustering = WeightClustering(number_of_clusters=8)
    options = {"epochs": 2, "batch_size": 8, "verbose": 0}
    with eagerly():
        model = fine_tuned(classifier, *data, callbacks=[clustering], **options)
    return clustering, model


def test_every_weight_has_few_values(clustered):
    report = clustered[0].report()
    weights = {x.path: keras.ops.convert_to_numpy(x) for x in clustered[1].weights}
    assert len(report) == 9  # four projections, two feed-forward, the last layer, two tables
    for path, count in report.items():
        assert count == len(np.unique(weights[path])) <= 8


def test_the_values_are_trained(clustered, classifier):
    path = "encoder_0/feedforward_output/kernel"
    before = {x.path: keras.ops.convert_to_numpy(x) for x in classifier.weights}[path]
    after = {x.path: keras.ops.convert_to_numpy(x) for x in clustered[1].weights}[path]
    means = {x: before[after == x].mean() for x in np.unique(after)}
    assert max(abs(x - mean) for x, mean in means.items()) > 1e-5
    assert np.abs(after - before).max() < 0.2


def test_the_clustered_model_still_knows(eager, clustered, data):
    texts, labels = data
    found = [x["label"] for x in clustered[1].classify(texts)]
    assert np.mean([a == b for a, b in zip(found, labels, strict=True)]) >= 0.9


def test_the_weights_compress(clustered, classifier):
    def zipped(model):
        tables = [x for x in model.weights if len(x.shape) > 1]
        return len(gzip.compress(b"".join(x.numpy().tobytes() for x in tables)))

    assert zipped(clustered[1]) < 0.25 * zipped(classifier)


def test_a_weight_may_have_fewer_values_than_clusters():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, kernel_initializer="ones")])
    clustering = WeightClustering(number_of_clusters=4)
    clustering.set_model(model)
    clustering.on_train_begin()
    clustering.on_train_batch_end(0)
    assert clustering.report() == {model.layers[0].kernel.path: 1}


@pytest.mark.parametrize("number", [1, 0, 2.5, None])
def test_refuses(number):
    with pytest.raises(ValueError, match="at least 2"):
        WeightClustering(number_of_clusters=number)
