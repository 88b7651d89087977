"""Pairs and triplets: the loss, mini-batches of a batch, and `fit`."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.models import MultipleNegativesRanking
from keras_combiner.models.gradient_caching import _MiniBatches, _Seeds, cached_gradients
from keras_combiner.models.text_rows import documents_of_rows, texts_in_rows
from tests.models.weather_embedder import SEQUENCE_LENGTH, make

QUESTIONS = ["rain?", "king?", "wind?", "queen?", "sun?", "a tale?", "fog?"]
ANSWERS = ["it pours", "he ruled", "it blows", "she ruled", "it shines", "long ago", "grey"]


def loss_by_hand(numbers, vectors, scale):
    """The definition, anchor by anchor, in Python."""
    numbers, rows = np.asarray(numbers), len(numbers)
    vectors = np.asarray(vectors, "float64").reshape(rows, numbers.shape[1], -1)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    losses = []
    for i in range(rows):
        logits = []
        for j in range(rows):
            for column in range(1, numbers.shape[1]):
                is_own = i == j and column == 1
                is_text_of_row = numbers[j, column] in (numbers[i, 0], numbers[i, 1])
                is_positive_of_anchor = column == 1 and numbers[j, 0] == numbers[i, 0]
                if is_own or not (is_text_of_row or is_positive_of_anchor):
                    logits.append(scale * vectors[i, 0] @ vectors[j, column])
        own = scale * vectors[i, 0] @ vectors[i, 1]
        losses.append(math.log(sum(math.exp(x - max(logits)) for x in logits)) + max(logits) - own)
    return np.mean(losses)


@given(
    st.integers(1, 6),
    st.integers(2, 4),
    st.integers(1, 12),
    st.sampled_from([1.0, 20.0]),
    st.data(),
)
def test_the_loss_is_its_definition(rows, texts, different, scale, data):
    numbers = st.lists(st.integers(0, different), min_size=texts, max_size=texts)
    numbers = np.array(data.draw(st.lists(numbers, min_size=rows, max_size=rows)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    vectors = rng.normal(size=(rows * texts, 5)).astype("float32")
    received = float(MultipleNegativesRanking(scale=scale)(numbers, vectors))
    assert received == pytest.approx(loss_by_hand(numbers, vectors, scale), abs=1e-4)


def test_the_loss_tells_many_texts_apart_whatever_the_default_precision():
    numbers, vectors = np.array([[256, 257], [258, 259]]), np.eye(4, dtype="float32")
    vectors[1] = vectors[0]
    truth = loss_by_hand(numbers, vectors, 20.0)
    default = keras.config.floatx()
    keras.config.set_floatx("bfloat16")  # in which 256 and 257 are the same
    try:
        loss = MultipleNegativesRanking()
        received = float(loss(numbers, vectors))
    finally:
        keras.config.set_floatx(default)
    assert truth > 0.3 and received == pytest.approx(truth, abs=1e-4)
    config = MultipleNegativesRanking(dtype="float64").get_config()
    assert MultipleNegativesRanking.from_config(config).dtype == "float64"
    for dtype in ("bfloat16", "mixed_float16"):
        with pytest.raises(ValueError, match=f"`dtype` must be 'float32'.* Received: '{dtype}'"):
            MultipleNegativesRanking(dtype=dtype)


def rows_of_ids(embedder, count=7):
    texts, size = texts_in_rows(documents_of_rows(QUESTIONS[:count], ANSWERS[:count]))
    numbers = np.array(texts.labels).reshape(-1, size)
    return embedder.tokenizer(texts.texts, SEQUENCE_LENGTH), numbers


def gradients_of_batch(embedder, token_ids, loss_of):
    with tf.GradientTape() as tape:
        outputs = embedder(token_ids, training=True)
        loss = loss_of(outputs)
    weights = [x.value for x in embedder.trainable_weights]
    return outputs, tape.gradient(loss, weights, unconnected_gradients="zero")


@pytest.mark.parametrize(
    ("size", "graph"),
    [
        (4, False),
        pytest.param(4, True, marks=pytest.mark.slow),
        pytest.param(1, True, marks=pytest.mark.slow),
        pytest.param(14, True, marks=pytest.mark.slow),
        pytest.param(100, True, marks=pytest.mark.slow),
    ],
)
def test_mini_batches_have_the_gradients_of_the_batch(size, graph):
    embedder = make(normalize=True)
    token_ids, numbers = rows_of_ids(embedder)
    assert len(token_ids) == 14

    def loss_of(outputs):
        return MultipleNegativesRanking()(numbers, outputs)

    outputs, gradients = gradients_of_batch(embedder, token_ids, loss_of)

    def cached(ids):
        return cached_gradients(embedder, ids, loss_of, size)

    cached = tf.function(cached, autograph=False) if graph else cached
    received, parts = cached(token_ids)
    np.testing.assert_allclose(received, outputs, atol=1e-5)
    assert max(np.abs(x).max() for x in gradients) > 0.1
    for weight, x, y in zip(embedder.trainable_weights, parts, gradients, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5, rtol=1e-4, err_msg=weight.path)


def test_mini_batches_are_cut_behind_the_last_token():
    token_ids = tf.constant([[1, 2, 3, 4, 0, 0], [1, 0, 0, 0, 2, 0], [1, 2, 3, 0, 0, 0]])
    batches = _MiniBatches(token_ids, 2, trims=True)
    assert [batches.at(i)[0].numpy().tolist() for i in range(2)] == [[2, 0], [1]]
    assert [batches.at(i)[1].shape[1] for i in range(2)] == [4, 5]


def test_both_passes_have_the_same_dropout():
    embedder = make(dropout=0.4, backbone={"static_length": True})
    token_ids, numbers = rows_of_ids(embedder)
    # In one mini-batch, in the order of the lengths, all is as in one batch of that order.
    lengths = np.count_nonzero(token_ids, axis=1)
    order = np.argsort(lengths, kind="stable")
    back = np.argsort(order)

    def loss_of(outputs):
        return MultipleNegativesRanking()(numbers, outputs)

    seeds = _Seeds(embedder)
    start = seeds.values()
    outputs, gradients = gradients_of_batch(
        embedder, tf.gather(token_ids, order), lambda x: loss_of(tf.gather(x, back))
    )
    after = seeds.values()
    assert np.abs(after - start).max() > 0
    seeds.assign(start)
    received, parts = cached_gradients(embedder, token_ids, loss_of, 14)
    np.testing.assert_allclose(received, tf.gather(outputs, back), atol=1e-5)
    for x, y in zip(parts, gradients, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5, rtol=1e-4)
    np.testing.assert_array_equal(seeds.values(), after)
    # Without the seeds of the first pass, the second would drop other numbers.
    other, _ = gradients_of_batch(embedder, tf.gather(token_ids, order), lambda x: tf.reduce_sum(x))
    assert np.abs(other - outputs).max() > 0.01


def accuracy(embedder):
    similarity = embedder.similarity(QUESTIONS, ANSWERS)
    return np.mean(similarity.argmax(axis=1) == np.arange(len(QUESTIONS)))


def test_fit_in_mini_batches_learns(eager):
    embedder = make(learning_rate=0.05)
    losses = embedder.fit(
        QUESTIONS, ANSWERS, batch_size=7, mini_batch_size=7, epochs=3, seed=0, verbose=0
    ).history["loss"]
    assert losses[2] < 0.8 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("mini_batch_size", [None, 5])
def test_fit_finds_what_belongs_together(mini_batch_size):
    embedder = make(learning_rate=0.01)
    before = accuracy(embedder)
    history = embedder.fit(
        QUESTIONS,
        ANSWERS,
        batch_size=7,
        mini_batch_size=mini_batch_size,
        epochs=12,
        seed=0,
        verbose=0,
    ).history
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    assert accuracy(embedder) == 1 > before


@pytest.mark.slow
def test_validation_and_evaluation():
    embedder = make(learning_rate=0.01)
    history = embedder.fit(
        QUESTIONS,
        ANSWERS,
        batch_size=7,
        mini_batch_size=5,
        epochs=12,
        seed=0,
        validation_data=(QUESTIONS, ANSWERS),
        verbose=0,
    ).history
    assert history["val_loss"][-1] < 0.2 * history["val_loss"][0]
    loss = embedder.evaluate(QUESTIONS, ANSWERS, batch_size=7, verbose=0)
    assert loss == pytest.approx(history["val_loss"][-1], rel=1e-4)
    embedder.fit(QUESTIONS, ANSWERS, batch_size=3, validation_split=0.3, verbose=0)


@pytest.mark.slow
def test_mini_batches_train_as_the_batch_does():
    weights = []
    for mini_batch_size in (None, 3):
        embedder = make(normalize=True)
        # Not Adam, which makes steps of rounding errors where a gradient is zero.
        optimizer = keras.optimizers.SGD(0.05, gradient_accumulation_steps=2)
        embedder.compile(optimizer, MultipleNegativesRanking(), jit_compile=False)
        before = embedder.get_weights()
        embedder.fit(
            QUESTIONS,
            list(zip(ANSWERS, reversed(ANSWERS), strict=True)),
            batch_size=2,
            mini_batch_size=mini_batch_size,
            epochs=2,
            seed=0,
            verbose=0,
        )
        weights.append(embedder.get_weights())
    for x, y in zip(*weights, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-4)
    assert max(np.abs(x - y).max() for x, y in zip(weights[0], before, strict=True)) > 0.01


def test_a_loss_of_ones_own(eager):
    embedder = make()
    embedder.compile("sgd", MultipleNegativesRanking(scale=1.0))
    losses = embedder.fit(QUESTIONS, ANSWERS, batch_size=7, seed=0, verbose=0).history["loss"]
    assert losses[0] < 3  # with cosines times 1, about log(7)
    assert isinstance(embedder.optimizer, keras.optimizers.SGD)


def test_no_batch_has_a_single_pair():
    embedder = make()
    batches = embedder._batches(embedder._documents(QUESTIONS, ANSWERS), 3, "shuffled")
    assert len(batches) == 2
    assert sorted(y.shape for _, y in batches.finite()) == [(3, 2), (4, 2)]
    triplets = embedder._documents(QUESTIONS, list(zip(ANSWERS, reversed(ANSWERS), strict=True)))
    assert len(embedder._batches(triplets, 3)) == 3
    for train in (embedder.fit, embedder.evaluate):
        with pytest.raises(ValueError, match=r"Expected at least 2 pairs.* Received: 1"):
            train(QUESTIONS[:1], ANSWERS[:1], verbose=0)


def test_steps_count_rows():
    embedder = make()
    with pytest.warns(UserWarning, match="`steps` is 2, but there are only 7 documents: 1 batch"):
        embedder._first_batches(embedder._documents(QUESTIONS, ANSWERS), 7, 2)


def test_long_texts_are_truncated_in_training():
    embedder = make(long_texts="windows")
    texts = [x * 20 for x in QUESTIONS]
    batches = embedder._batches(embedder._documents(texts, ANSWERS), 4)
    assert len(batches.documents.lengths) == 14
    token_ids, numbers = next(batches.batches())
    assert token_ids.shape[0] == 8 and numbers.shape == (4, 2) and token_ids.shape[1] <= 24


REFUSED = {
    "no positives": (QUESTIONS, None, ValueError, "Received: no positives"),
    "fewer": (QUESTIONS, ANSWERS[:3], ValueError, "7 texts, 3 labels"),
    "not text": (QUESTIONS[:2], ["a", 3], TypeError, "for anchor 1 its positive"),
    "nothing": (QUESTIONS[:2], ["a", []], TypeError, "for anchor 1 its positive"),
    "other numbers": (QUESTIONS[:2], ["a", ["b", "c"]], ValueError, "1 texts for anchor 0 and 2"),
    "ids": (np.ones((2, 3)), np.ones((2, 3)), TypeError, "trained and evaluated on texts"),
}


@pytest.mark.parametrize(("x", "y", "error", "words"), REFUSED.values(), ids=list(REFUSED))
def test_refused_texts(x, y, error, words):
    embedder = make()
    with pytest.raises(error, match=words):
        embedder.fit(x, y, verbose=0)
    with pytest.raises(error, match=words):
        embedder.evaluate(x, y, verbose=0)


def test_refused_numbers():
    embedder = make()
    with pytest.raises(ValueError, match="`batch_size` must be at least 2 for pairs"):
        embedder.fit(QUESTIONS, ANSWERS, batch_size=1, verbose=0)
    with pytest.raises(ValueError, match="`mini_batch_size` must be an int of at least 1"):
        embedder.fit(QUESTIONS, ANSWERS, mini_batch_size=0, verbose=0)
    with pytest.raises(ValueError, match="have no weights"):
        embedder.fit(QUESTIONS, ANSWERS, sample_weight=[1] * 7, verbose=0)
    routing = make(backbone={"factorization": "routing", "static_length": True})
    with pytest.raises(ValueError, match="the plan Routing learns from each text"):
        routing.fit(QUESTIONS, ANSWERS, mini_batch_size=2, verbose=0)
    embedder.compile("sgd", MultipleNegativesRanking(), jit_compile=True)
    with pytest.raises(ValueError, match="Compile with jit_compile=False"):
        embedder.fit(QUESTIONS, ANSWERS, mini_batch_size=2, verbose=0)
