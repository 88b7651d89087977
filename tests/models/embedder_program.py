"""What the tests run in a process with another backend of Keras."""

import numpy as np

from keras_combiner import LongDocumentEmbedder


def embedded_and_trained(path, texts, anchors, positives):
    """Embeddings of an embedder's file, losses and weights of an epoch of SGD, an error."""
    import keras

    from keras_combiner.models import MultipleNegativesRanking

    embedder = LongDocumentEmbedder.load(path)
    embeddings = embedder.embed(texts, verbose=0)
    embedder.compile(keras.optimizers.SGD(0.05), MultipleNegativesRanking())
    losses = embedder.fit(anchors, positives, batch_size=4, seed=0, verbose=0).history["loss"]
    weights = [np.array(x) for x in embedder.get_weights()]  # the next training moves them
    error = None
    try:
        embedder.fit(anchors, positives, mini_batch_size=2, verbose=0)
    except ValueError as raised:
        error = str(raised)
    return embeddings, losses, weights, error
