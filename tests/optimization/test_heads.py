"""Pooling by label and the bag of tokens, pruned, clustered and trained with int8 rounding."""

import keras
import numpy as np
import pytest

from keras_combiner.export import export_litert, run_litert
from keras_combiner.models.fine_tuned import copied
from keras_combiner.optimization import (
    MagnitudePruning,
    WeightClustering,
    fine_tuned,
    quantization_aware,
)
from tests.eagerly import eagerly

BOTH = {"pooling": "label", "lexical": True}
TABLE, KERNEL = "lexical/embeddings", "probabilities/kernel"


@pytest.fixture(scope="module")
def both(classifier):
    """As the trained classifier, with queries and a table that are not zero."""
    model = type(classifier).from_config({**classifier.get_config(), **BOTH})
    trained = {x.path: x for x in classifier.weights}
    for weight in model.trainable_weights:
        if weight.path in trained:
            weight.assign(trained[weight.path])
        else:
            weight.assign(keras.random.normal(weight.shape, stddev=0.2, seed=1))
    return model


@pytest.fixture(scope="module")
def token_ids(classifier, data):
    return classifier.tokenizer([*data[0][:6], "bright", ""], 40).numpy()


@pytest.mark.slow
def test_the_table_is_rounded_as_files_round_it(both, token_ids):
    aware = quantization_aware(both)
    table = np.asarray(both.get_layer("lexical").embeddings)
    scale = np.abs(table).max() / 127
    copy = copied(both)
    copy.get_layer("lexical").embeddings.assign(np.round(table / scale) * scale)
    received = aware.get_layer("lexical")(token_ids)
    np.testing.assert_allclose(received, copy.get_layer("lexical")(token_ids), atol=1e-6)
    assert np.abs(received - both.get_layer("lexical")(token_ids)).max() > 1e-5
    plain = aware.without_quantization()
    np.testing.assert_array_equal(plain(token_ids), both(token_ids))


@pytest.mark.slow
@pytest.mark.parametrize("callback", [MagnitudePruning(0.5), WeightClustering(4)])
def test_table_and_kernel_are_pruned_and_clustered(both, data, callback):
    with eagerly():
        fine_tuned(both, *data, callbacks=[callback], epochs=1, batch_size=12, verbose=0)
    report = callback.report()
    if isinstance(callback, MagnitudePruning):
        assert (report[TABLE], report[KERNEL]) == pytest.approx((0.5, 0.5), abs=0.02)
    else:
        assert (report[TABLE], report[KERNEL]) == (4, 4)


@pytest.mark.slow
def test_an_int8_file_without_calibration_data(both, data, token_ids, tmp_path):
    options = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-4, "verbose": 0}
    with eagerly():
        aware = fine_tuned(quantization_aware(both), *data, **options)
    path = tmp_path / "model.tflite"
    report = export_litert(aware, path, quantization="int8", documents=data[0], verbose=False)
    assert report.agreement == 1
    expected = aware.predict(token_ids, verbose=0)
    np.testing.assert_allclose(run_litert(path, token_ids)[0], expected, atol=0.03)
