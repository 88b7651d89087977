"""fine_tuned: a trained classifier, trained a little more under a compression."""

# Enough for saved_models/sotu_era, and not tuned beyond that.
EPOCHS = 3
LEARNING_RATE = 5e-4


def fine_tuned(
    classifier,
    x,
    y=None,
    callbacks=None,
    epochs=EPOCHS,
    learning_rate=LEARNING_RATE,
    batch_size=16,
    **kwargs,
):
    """Trains a copy of a trained classifier a little more while it is compressed.

    By the classifier's own recipe, with smaller steps.

    Args:
        classifier: trained `keras_combiner.LongDocumentClassifier`, or what
            `quantization_aware` made of one. It is left as it is.
        x: list of str or a reader, as in `LongDocumentClassifier.fit`.
        y: list of labels; None if `x` is a reader.
        callbacks: `keras.callbacks.Callback`, such as `MagnitudePruning` or `WeightClustering`, or
            a list of them.
        epochs: int, passes over the documents.
        learning_rate: float, the largest.
        batch_size: int, documents a step.
        **kwargs: what else `fit` takes.

    Returns:
        The copy, of the same class as `classifier`, not compiled.

    Raises:
        ValueError: for what `fit` refuses.
    """
    trained = copied(classifier, learning_rate=learning_rate)
    trained.fit(x, y, epochs=epochs, batch_size=batch_size, callbacks=callbacks, **kwargs)
    # Without the optimizer's state, which files would hold.
    return copied(trained, learning_rate=classifier.learning_rate)


def copied(classifier, **changes):
    """Returns a classifier with the same weights, not compiled, and the same configuration.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`.
        **changes: what is to be different in its configuration.
    """
    copy = type(classifier).from_config({**classifier.get_config(), **changes})
    copy.set_weights(classifier.get_weights())
    return copy
