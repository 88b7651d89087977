"""fine_tuned: a trained classifier, trained a little more under a compression."""

import math

import keras

from keras_combiner.models import text_batches

# Chosen on the validation documents of the State of the Union eras, for saved_models/sotu_era.
EPOCHS = 3
LEARNING_RATE = 5e-4


def fine_tuned(
    classifier,
    x,
    y=None,
    callbacks=(),
    epochs=EPOCHS,
    learning_rate=LEARNING_RATE,
    batch_size=16,
    **kwargs,
):
    """Trains a copy of a trained classifier a little more, to get used to being compressed.

    AdamW like the classifier's own recipe, with smaller steps, which grow during the first tenth
    and then shrink along a cosine to zero.

    Args:
        classifier: trained `keras_combiner.LongDocumentClassifier`, or what
            `quantization_aware` made of one. It is left as it is.
        x: list of str or a reader, as in `LongDocumentClassifier.fit`.
        y: list of labels; None if `x` is a reader.
        callbacks: list of `keras.callbacks.Callback`, such as `MagnitudePruning` or
            `WeightClustering`.
        epochs: int, passes over the documents.
        learning_rate: float, the largest.
        batch_size: int, documents a step.
        **kwargs: what else `fit` takes.

    Returns:
        The copy, of the same class as `classifier`, not compiled.

    Raises:
        ValueError: for what `fit` refuses.
    """
    trained = copied(classifier)
    steps = math.ceil(text_batches.count(x) / batch_size) * epochs
    warmup_steps = max(1, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=max(1, steps - warmup_steps),
    )
    trained.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.01, clipnorm=1.0),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    trained.fit(x, y, epochs=epochs, batch_size=batch_size, callbacks=list(callbacks), **kwargs)
    return copied(trained)  # without the optimizer's state, which files would hold


def copied(classifier):
    """Returns a classifier with the same configuration and the same weights, not compiled."""
    copy = type(classifier).from_config(classifier.get_config())
    copy.set_weights(classifier.get_weights())
    return copy
