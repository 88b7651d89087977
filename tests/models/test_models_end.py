"""What was trained, evaluated and asked does not stay in memory once nothing holds it."""

import gc
import weakref

import pytest

from keras_combiner.models import CombinerMaskedLM, LongDocumentClassifier

TEXTS = ["red apples and green apples", "grey rocks and dark rocks"] * 4
LABELS = ["fruit", "stone"] * 4
SMALL = {
    "sequence_length": 8,
    "tokenizer": "bytes",
    "num_layers": 1,
    "num_heads": 1,
    "hidden_dim": 4,
    "intermediate_dim": 4,
    "block_size": 4,
    "verbose": False,
}


def train(model, *arguments, **options):
    model.fit(*arguments, epochs=1, verbose=0, **options)
    return model


USES = {
    "fit": lambda model: train(model, TEXTS, LABELS, validation_split=0.5),
    "evaluate": lambda model: train(model, TEXTS, LABELS).evaluate(TEXTS, LABELS, verbose=0),
    "predict": lambda model: model.predict(TEXTS, verbose=0),
    "classify": lambda model: model.classify(TEXTS),
}


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(x, id=name, marks=pytest.mark.slow if name in ("evaluate", "predict") else ())
        for name, x in USES.items()
    ],
)
def test_a_classifier(use, eager):
    model = LongDocumentClassifier.from_texts(TEXTS, LABELS, long_texts="windows", **SMALL)
    use(model)
    model = weakref.ref(model)
    gc.collect()
    assert model() is None


@pytest.mark.slow
def test_a_language_model(eager):
    model = train(CombinerMaskedLM.from_texts(TEXTS, **SMALL), TEXTS, validation_split=0.5)
    model = weakref.ref(model)
    gc.collect()
    assert model() is None
