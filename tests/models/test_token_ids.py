"""Token ids that a model does not have, by every road into it: refused, with their position."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner import LongDocumentClassifier
from keras_combiner.layers import TokenAndPositionEmbedding
from keras_combiner.models import CombinerBackbone, CombinerCausalLM, CombinerMaskedLM

VOCABULARY = 20
TARGETS = np.array([1, 0])
WRONG = {
    "negative": (np.array([[1, 2, 3], [4, -1, 0]]), r"from 0 to 19. Received: -1 at \[1, 1\]"),
    "too large": (np.array([[1, 2, 20], [4, 5, 0]]), r"from 0 to 19. Received: 20 at \[0, 2\]"),
    "fraction": (np.array([[1, 2, 3], [4.5, 5, 0]]), r"from 0 to 19. Received: 4.5 at \[1, 0\]"),
    "not a number": (np.array([[1, np.nan, 3], [4, 5, 0]]), r"Received: nan at \[0, 1\]"),
    "64 bits": (np.array([[1, 2, 2**32 + 1], [4, 5, 0]]), r"Received: 4294967297 at \[0, 2\]"),
}


def backbone(**options):
    return CombinerBackbone(VOCABULARY, 8, 1, 2, 8, 8, block_size=4, **options)


class Tokenizer:
    """What a classifier asks of a tokenizer that it is never to use."""

    vocabulary_size = VOCABULARY


@pytest.fixture(scope="module")
def classifier():
    model = LongDocumentClassifier(backbone(), Tokenizer(), ["tale", "weather"])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


class Batches(keras.utils.PyDataset):
    def __init__(self, ids):
        super().__init__()
        self.ids = ids

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.ids, TARGETS


@pytest.mark.parametrize("kind", WRONG)
def test_a_classifier_refuses_them_on_every_road(classifier, kind):
    ids, words = WRONG[kind]
    before = classifier.get_weights()
    for x in (ids, tf.constant(ids), ids.tolist()):
        with pytest.raises(ValueError, match=words):
            classifier(x)
    right = np.ones((2, 3), "int32")
    for x in (ids, tf.constant(ids), {"token_ids": ids}):
        for call in (
            lambda x: classifier.predict(x, verbose=0),
            lambda x: classifier.evaluate(x, TARGETS, verbose=0),
            lambda x: classifier.fit(x, TARGETS, verbose=0),
            lambda x: classifier.fit(right, TARGETS, validation_data=(x, TARGETS), verbose=0),
            classifier.predict_on_batch,
            lambda x: classifier.test_on_batch(x, TARGETS),
            lambda x: classifier.train_on_batch(x, TARGETS),
        ):
            with pytest.raises(ValueError, match=words):
                call(x)
    for call in (classifier.predict, classifier.evaluate, classifier.fit):
        with pytest.raises(ValueError, match=words):
            call(Batches(ids), verbose=0)
    for one, other in zip(before, classifier.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# They are all refused by the one check, which the test above has meet each of them.
@pytest.mark.parametrize(
    "kind",
    [x if x == "too large" else pytest.param(x, marks=pytest.mark.slow) for x in WRONG],
)
def test_data_sets_end_where_they_hold_one(classifier, kind):
    ids, _ = WRONG[kind]
    right = tf.data.Dataset.from_tensors((np.ones_like(ids), TARGETS))
    wrong = right.concatenate(tf.data.Dataset.from_tensors((ids, TARGETS)))
    for call in (
        lambda: classifier.predict(wrong.map(lambda x, y: x), verbose=0),
        lambda: classifier.evaluate(wrong, verbose=0),
        lambda: classifier.fit(wrong, shuffle=False, verbose=0),
        lambda: classifier.fit(right, validation_data=wrong, shuffle=False, verbose=0),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match="Expected token ids from 0 to 19"):
            call()


@pytest.mark.parametrize(
    "model",
    [
        lambda: CombinerMaskedLM(backbone()),
        lambda: CombinerCausalLM(backbone(use_causal_mask=True)),
    ],
)
@pytest.mark.parametrize("kind", ["negative", "fraction"])
def test_language_models_refuse_them(model, kind):
    ids, words = WRONG[kind]
    model = model()
    model.compile("sgd")
    targets = np.ones((2, 3), "int32")
    for call in (
        model,
        lambda x: model.predict(x, verbose=0),
        lambda x: model.evaluate(x, targets, verbose=0),
        lambda x: model.fit(x, targets, verbose=0),
        lambda x: model.train_on_batch(x, targets),
    ):
        with pytest.raises(ValueError, match=words):
            call(ids)


def test_whole_numbers_are_ids_whatever_their_type(eager, classifier):
    ids = np.array([[1, 2, 19], [4, 0, 0]])
    expected = classifier.predict(ids, verbose=0)
    for dtype in ("float32", "float64", "int64", "uint8"):
        np.testing.assert_array_equal(classifier.predict(ids.astype(dtype), verbose=0), expected)
        np.testing.assert_allclose(classifier(ids.astype(dtype)), expected, atol=1e-6)
    for dtype in ("float32", "uint8"):
        data = tf.data.Dataset.from_tensors((ids.astype(dtype), TARGETS, np.ones(2)))
        loss = classifier.evaluate(data, verbose=0)
        assert loss == pytest.approx(-np.log(expected[[0, 1], TARGETS]).mean(), rel=1e-5)


def test_no_place_is_counted_from_the_end_of_a_table():
    layer = TokenAndPositionEmbedding(VOCABULARY, 8, 4)
    for wrong in (-1, -VOCABULARY, VOCABULARY):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"is not in \[0, 20\)"):
            layer(np.array([[1, wrong]]))
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"is not in \[0, 20\)"):
            layer.decode(np.array([wrong]), 0)


@pytest.mark.parametrize("texts", [["rain", "king"], np.array(["rain"]), tf.constant(["rain"])])
def test_a_causal_model_says_what_to_pass_for_texts(eager, texts):
    model = CombinerCausalLM(backbone(use_causal_mask=True))
    model.compile("sgd")
    right = np.ones((2, 3), "int32")
    words = "CombinerCausalLM learns from token ids. Received: texts. Pass the ids that a tokenizer"
    for call in (
        model.fit,
        model.evaluate,
        lambda x: model.fit(right, validation_data=x),
        lambda x: model.fit(right, validation_data=(x, None)),
    ):
        with pytest.raises(TypeError, match=words):
            call(texts)
    with pytest.raises(TypeError, match=r"strings\. Make ids of them with a tokenizer of"):
        model.predict(texts)
    history = model.fit(right, validation_data=right, verbose=0).history
    assert history["val_loss"][0] == pytest.approx(model.evaluate(right, verbose=0))
