import warnings

import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.factorizations import Fixed

pytestmark = pytest.mark.slow

X = np.random.default_rng(0).normal(size=(4, 21, 8)).astype("float32")
MASK = np.ones((4, 21, 21), "float32")
MASK[1, :, 13:] = 0


@pytest.fixture(scope="module")
def tf_keras():
    return pytest.importorskip("tf_keras", reason="needs tf_keras: the extra `models`")


@pytest.fixture(scope="module")
def layers(tf_keras):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it imports is not ours
        return pytest.importorskip(
            "official.nlp.modeling.layers", reason="needs Model Garden: the extra `models`"
        )


@pytest.fixture(scope="module")
def scaffold_attention(tf_keras):
    from keras_combiner.convert import ScaffoldAttention

    return ScaffoldAttention


def model_of(tf_keras, layers, attention_cls, **options):
    tokens, mask = tf_keras.Input((21, 8)), tf_keras.Input((21, 21))
    scaffold = layers.TransformerScaffold(
        num_attention_heads=2,
        inner_dim=12,
        inner_activation="relu",
        attention_cls=attention_cls,
        attention_cfg={"num_heads": 2, "key_dim": 4, **options} if options else None,
        kernel_initializer=tf_keras.initializers.TruncatedNormal(stddev=0.02),
    )
    return tf_keras.Model([tokens, mask], scaffold([tokens, mask]))


def test_in_a_scaffold_it_computes_what_full_attention_does(tf_keras, layers, scaffold_attention):
    full = model_of(tf_keras, layers, tf_keras.layers.MultiHeadAttention)
    combiner = model_of(tf_keras, layers, scaffold_attention)
    assert [w.shape for w in combiner.trainable_weights] == [
        w.shape for w in full.trainable_weights
    ]
    combiner.set_weights(full.get_weights())
    valid = MASK[:, 0] == 1
    expected = full([X, MASK]).numpy()[valid]
    np.testing.assert_allclose(combiner([X, MASK]).numpy()[valid], expected, atol=1e-5)


@pytest.mark.parametrize("form", ["model.keras", "model.h5", "saved_model"])
def test_trained_saved_and_loaded(form, tf_keras, layers, scaffold_attention, tmp_path):
    model = model_of(
        tf_keras, layers, scaffold_attention, factorization=Fixed(4, neighbors=1), dropout=0.1
    )
    before = [w.numpy() for w in model.trainable_weights]
    model.compile(tf_keras.optimizers.Adam(0.01), "mse")
    losses = model.fit([X, MASK], X[:, ::-1], epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    # The bias of the keys moves no softmax: its gradient is zero.
    moved = [np.any(x != w.numpy()) for x, w in zip(before, model.trainable_weights, strict=True)]
    assert sum(moved) >= len(moved) - 1
    expected = model([X, MASK]).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tf_keras, that h5 is old
        model.save(tmp_path / form)
        loaded = tf_keras.models.load_model(tmp_path / form)
    np.testing.assert_allclose(loaded([X, MASK]), expected, atol=1e-6)


def test_checkpoints_hold_its_weights(tf_keras, layers, scaffold_attention, tmp_path):
    model, other = (model_of(tf_keras, layers, scaffold_attention, block_size=4) for _ in range(2))
    prefix = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    assert np.any(model([X, MASK]) != other([X, MASK]))
    tf.train.Checkpoint(model=other).read(prefix).assert_consumed()
    np.testing.assert_array_equal(model([X, MASK]), other([X, MASK]))


def test_regularizers_are_losses_of_the_model(tf_keras, scaffold_attention):
    layer = scaffold_attention(2, 4, kernel_regularizer=tf_keras.regularizers.L2(0.1))
    layer(X)
    expected = 0.1 * sum(np.sum(w**2) for w in layer.get_weights() if w.ndim == 3)
    np.testing.assert_allclose(sum(layer.losses), expected, rtol=1e-5)
    layer(X)
    np.testing.assert_allclose(sum(layer.losses), expected, rtol=1e-5)


def test_mixed_precision(tf_keras, scaffold_attention):
    layer = scaffold_attention(2, 4, dtype="mixed_bfloat16", block_size=4)
    assert layer(X).dtype == tf.bfloat16
    assert {w.dtype for w in layer.weights} == {tf.float32}


def test_frozen_and_causal(scaffold_attention):
    layer = scaffold_attention(2, 4, trainable=False, block_size=4)
    outputs, scores = layer(X, use_causal_mask=True, return_attention_scores=True)
    assert not layer.trainable_weights and len(layer.weights) == 8
    assert outputs.shape == X.shape
    assert not np.triu(scores.numpy(), 1).any()


def test_what_it_refuses(tf_keras, scaffold_attention):
    layer = scaffold_attention(2, 4)
    causal = np.tril(MASK)
    with pytest.raises(tf.errors.InvalidArgumentError, match="knows padding only"):
        layer(X, attention_mask=causal)
    with pytest.raises(tf.errors.InvalidArgumentError, match="knows padding only"):
        tf.function(layer)(X, attention_mask=causal)
    with pytest.raises(ValueError, match="no `activity_regularizer`"):
        scaffold_attention(2, 4, activity_regularizer="l2")
    with pytest.raises(ValueError, match="`factorization` must be one of"):
        scaffold_attention(2, 4, factorization="axial")
