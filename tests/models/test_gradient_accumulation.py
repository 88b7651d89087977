import keras
import numpy as np

from keras_combiner import LongDocumentClassifier

# Of equal length, so that every batch has as many tokens; "a" is in each of them several times.
TEXTS = [f"a {x} a b a {x}" for x in "cdefghij"]


def fitted(batch_size, gradient_accumulation_steps):
    keras.utils.set_random_seed(0)
    model = LongDocumentClassifier.from_texts(
        TEXTS,
        list("xyxyxyxy"),
        sequence_length=16,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=8,
        block_size=4,
        tokenizer="bytes",
        dropout=0.0,
        token_dropout=0.0,
        lexical=False,
        verbose=False,
    )
    optimizer = keras.optimizers.Adam(
        1e-3, clipnorm=1e-2, gradient_accumulation_steps=gradient_accumulation_steps
    )
    model.compile(optimizer, model.task.loss, run_eagerly=gradient_accumulation_steps is None)
    before = model.get_weights()
    model.fit(TEXTS, list("xyxyxyxy"), batch_size=batch_size, verbose=0)
    return [x - y for x, y in zip(model.get_weights(), before, strict=True)]


def test_small_batches_accumulated_are_a_large_batch():
    large = fitted(8, None)
    assert all(np.any(x) for x in large)
    for one, other in zip(large, fitted(4, 2), strict=True):
        # Adam's first step is nearly the sign of the gradient: tiny ones come out as they may.
        np.testing.assert_allclose(one, other, atol=2e-4)
        assert np.mean(np.abs(one - other)) < 1e-5
