"""Embedders whose exports the tests compare with them."""

import keras

from keras_combiner import CombinerBackbone, LongDocumentEmbedder
from tests.export.conftest import make


def make_embedder(pooling="mean", long_texts="truncate", **options):
    """Untrained, of word pieces, with the weights of the tests' classifier."""
    classifier = make("wordpiece", num_layers=1)
    backbone = CombinerBackbone.from_config(classifier.backbone.get_config())
    backbone.set_weights(classifier.backbone.get_weights())
    keras.utils.set_random_seed(0)
    return LongDocumentEmbedder(
        backbone,
        classifier.tokenizer,
        **{"pooling": pooling, "normalize": True, "long_texts": long_texts, **options},
    )
