import keras
import numpy as np
import pytest

from keras_combiner import LongDocumentClassifier
from tests.convert.test_hugging_face import bert_tensors, write

TEXTS = ["word1 word2", "word3", "word1 word4 word1", "word3 word5"] * 4
LABELS = ["b", "a", "b", "a"] * 4


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, bert_tensors(), {"hidden_dropout_prob": 0.0})
    return tmp_path


@pytest.mark.slow
def test_a_classifier_on_pretrained_weights_trains_and_is_saved(folder, tmp_path):
    keras.utils.set_random_seed(0)
    classifier = LongDocumentClassifier.from_pretrained(
        folder, LABELS, sequence_length=64, block_size=8, learning_rate=0.02
    )
    assert classifier.labels == ["a", "b"]
    assert classifier.sequence_length == 64
    assert classifier.token_dropout == classifier.dropout == 0.0
    rates = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: rates.append(
            float(classifier.optimizer.learning_rate)
        )
    )
    losses = classifier.fit(
        TEXTS, LABELS, batch_size=4, epochs=5, callbacks=[note], verbose=0
    ).history["loss"]
    assert losses[-1] < losses[0]
    assert max(rates) == pytest.approx(0.02, rel=0.05)
    classifier.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    assert loaded.get_config() == classifier.get_config()
    np.testing.assert_allclose(
        loaded.predict(TEXTS, verbose=0), classifier.predict(TEXTS, verbose=0), atol=1e-6
    )


def test_classifiers_saved_before_there_was_a_learning_rate_load(folder):
    config = LongDocumentClassifier.from_pretrained(folder, ["a", "b"]).get_config()
    old = {x: y for x, y in config.items() if x != "learning_rate"}
    assert LongDocumentClassifier.from_config(old).learning_rate is None


def test_what_it_refuses(folder):
    with pytest.raises(ValueError, match="at least two different names"):
        LongDocumentClassifier.from_pretrained(folder, ["a", "a"])
    with pytest.raises(TypeError, match="has no option size"):
        LongDocumentClassifier.from_pretrained(folder, LABELS, size="tiny")
    (folder / "vocab.txt").unlink()
    with pytest.raises(ValueError, match="Pass `tokenizer`"):
        LongDocumentClassifier.from_pretrained(folder, LABELS)
    inputs = keras.Input((None, 8))
    outputs = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)(inputs, inputs)
    with pytest.raises(TypeError, match="`backbone` must be a CombinerBackbone"):
        LongDocumentClassifier.from_pretrained(keras.Model(inputs, outputs), LABELS)
