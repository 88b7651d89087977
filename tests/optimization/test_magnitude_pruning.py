"""Pruned weights are zero: as many as asked for, in the pattern asked for, and to the end."""

import keras
import numpy as np
import pytest

from keras_combiner.optimization import MagnitudePruning, fine_tuned
from tests.eagerly import eagerly


def as_matrix(path, weight):
    """From inputs to outputs, as a product has it."""
    weight = keras.ops.convert_to_numpy(weight)
    inputs = weight.shape[:-1] if path.endswith("attention_output/kernel") else weight.shape[:1]
    return weight.reshape((int(np.prod(inputs)), -1))


@pytest.fixture(scope="module")
def pruned(classifier, data):
    pruning = MagnitudePruning(target_sparsity=0.75, end=0.5)
    history = []

    class Sparsities(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            history.append(pruning.sparsity())

    options = {"epochs": 4, "batch_size": 8, "verbose": 0}
    with eagerly():
        model = fine_tuned(classifier, *data, callbacks=[pruning, Sparsities()], **options)
    return pruning, model, history


def test_every_weight_has_the_sparsity_asked_for(pruned):
    report = pruned[0].report()
    weights = {x.path: x for x in pruned[1].weights}
    assert {x.split("/")[-1] for x in report} == {
        "kernel",
        "embeddings",
        "position_embeddings",
    }
    for path, sparsity in report.items():
        size = int(np.prod(weights[path].shape))
        assert abs(sparsity - 0.75) <= 1 / size
        assert np.mean(keras.ops.convert_to_numpy(weights[path]) == 0) == sparsity
    others = [x for path, x in weights.items() if path not in report and "gamma" in path]
    assert others
    assert all(np.all(keras.ops.convert_to_numpy(x) != 0) for x in others)


def test_sparsity_grows_and_zeros_stay(pruned):
    history = pruned[2]
    assert history == sorted(history)
    assert history[0] < history[2] < 0.7
    assert history[len(history) // 2 :] == [history[-1]] * (len(history) - len(history) // 2)


@pytest.mark.usefixtures("eager")
def test_the_pruned_model_still_knows(pruned, data):
    texts, labels = data
    found = [x["label"] for x in pruned[1].classify(texts)]
    assert np.mean([a == b for a, b in zip(found, labels, strict=True)]) >= 0.9


@pytest.mark.usefixtures("eager")
def test_two_of_four_inputs_of_every_output_are_zero(classifier, data):
    pruning = MagnitudePruning(pattern="2:4")
    model = fine_tuned(classifier, *data, callbacks=[pruning], epochs=1, batch_size=8, verbose=0)
    weights = {x.path: x for x in model.weights}
    assert pruning.report()
    assert all("kernel" in path for path in pruning.report())
    for path in pruning.report():
        matrix = as_matrix(path, weights[path])
        groups = matrix.reshape((matrix.shape[0] // 4, 4, matrix.shape[1]))
        assert np.all((groups == 0).sum(axis=1) == 2), path
    tables = [x for path, x in weights.items() if path.endswith("embeddings")]
    assert all(np.mean(keras.ops.convert_to_numpy(x) == 0) < 0.01 for x in tables)


@pytest.mark.usefixtures("eager")
def test_the_pattern_keeps_the_largest(classifier, data):
    pruning = MagnitudePruning(pattern="2:4")
    model = fine_tuned(
        classifier,
        *data,
        callbacks=[pruning],
        epochs=1,
        batch_size=24,
        learning_rate=0.0,
        verbose=0,
    )
    before = {x.path: x for x in classifier.weights}
    after = {x.path: x for x in model.weights}
    path = next(x for x in pruning.report() if x.endswith("attention_output/kernel"))
    first, second = (as_matrix(path, x[path])[:4] for x in (before, after))
    smallest = np.argsort(np.abs(first), axis=0)[:2]
    assert np.all(np.take_along_axis(second, smallest, axis=0) == 0)


@pytest.mark.usefixtures("eager")
def test_a_single_step_reaches_the_target(classifier, data):
    texts, labels = (x[:8] for x in data)
    pruning = MagnitudePruning(target_sparsity=0.75)
    fine_tuned(classifier, texts, labels, callbacks=[pruning], epochs=1, batch_size=8, verbose=0)
    assert pruning.sparsity() == pytest.approx(0.75, abs=0.01)


@pytest.mark.usefixtures("eager")
def test_tables_can_be_left_out(classifier, data):
    pruning = MagnitudePruning(target_sparsity=0.5, embeddings=False)
    fine_tuned(classifier, *data, callbacks=[pruning], epochs=1, batch_size=24, verbose=0)
    assert all(path.endswith("kernel") for path in pruning.report())


@pytest.mark.usefixtures("eager")
def test_logs_hold_the_sparsity(classifier, data):
    pruning = MagnitudePruning(target_sparsity=0.5)
    model = type(classifier).from_config(classifier.get_config())
    history = model.fit(*data, epochs=2, batch_size=24, verbose=0, callbacks=[pruning])
    assert history.history["sparsity"][-1] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"target_sparsity": 1.0}, "below 1"),
        ({"target_sparsity": -0.1}, "at least 0"),
        ({"begin": 0.8, "end": 0.5}, "begin <= end"),
        ({"end": 1.5}, "shares of the training"),
        ({"pattern": "4:8"}, "2:4"),
    ],
)
def test_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        MagnitudePruning(**arguments)


def test_refuses_a_training_of_unknown_length():
    pruning = MagnitudePruning()
    pruning.set_params({"steps": None, "epochs": 1})
    with pytest.raises(ValueError, match="steps_per_epoch"):
        pruning.on_train_begin()


def test_refuses_a_model_without_kernels():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])
    pruning = MagnitudePruning()
    pruning.set_params({"steps": 1, "epochs": 1})
    pruning.set_model(model)
    with pytest.raises(ValueError, match="no kernel"):
        pruning.on_train_begin()


def test_refuses_what_keras_has_quantized():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8)])
    model.layers[0].quantize("int8")
    pruning = MagnitudePruning()
    pruning.set_params({"steps": 1, "epochs": 1})
    pruning.set_model(model)
    with pytest.raises(ValueError, match="quantized by Keras"):
        pruning.on_train_begin()
