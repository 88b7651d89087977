import keras
import numpy as np
import pytest

from keras_combiner import LongDocumentClassifier
from tests.eagerly import eagerly

WORDS = {"warm": ["bright", "clear", "swift"], "cold": ["dull", "muddy", "slow"]}


def documents(count=24, length=30, seed=0):
    """Texts and labels, every class as often."""
    rng = np.random.default_rng(seed)
    labels = [("warm", "cold")[i % 2] for i in range(count)]
    return [" ".join(rng.choice([*WORDS[x], "and", "the"], size=length)) for x in labels], labels


@pytest.fixture(scope="session")
def data():
    return documents()


@pytest.fixture(scope="session")
def classifier(data):
    """Trained a little, on documents of about 32 tokens, in blocks of 8."""
    keras.utils.set_random_seed(0)
    model = LongDocumentClassifier.from_texts(
        *data,
        sequence_length=40,
        num_layers=1,
        num_heads=2,
        hidden_dim=32,
        intermediate_dim=128,  # the converter leaves small weights in float32
        block_size=8,
        vocabulary_size=60,
        dropout=0.0,
        token_dropout=0.0,
        lexical=False,
        verbose=False,
    )
    model.learning_rate = 1e-2
    with eagerly():
        model.fit(*data, epochs=6, batch_size=24, verbose=0)
    model.learning_rate = None
    return model
