"""A small embedder of bytes, with weights large enough for texts to get unlike vectors."""

import keras

from keras_combiner import CombinerBackbone, LongDocumentEmbedder
from keras_combiner.text import ByteTokenizer

SEQUENCE_LENGTH = 24
TEXTS = [
    "it will rain",
    "",
    "a king",
    "rain and wind and rain",
    "once upon a time there was a king",
]


def make(dropout=0.0, num_layers=1, sequence_length=SEQUENCE_LENGTH, backbone=None, **options):
    """Untrained; `backbone` are more arguments of the backbone, `options` of the embedder."""
    keras.utils.set_random_seed(0)
    tokenizer = ByteTokenizer()
    backbone = CombinerBackbone(
        tokenizer.vocabulary_size,
        sequence_length,
        num_layers=num_layers,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=16,
        block_size=8,
        dropout=dropout,
        **(backbone or {}),
    )
    embedder = LongDocumentEmbedder(backbone, tokenizer, **options)
    for weight in embedder.trainable_weights:
        if any(x in weight.path for x in ("kernel", "embeddings")):
            weight.assign(keras.random.normal(weight.shape, stddev=0.5))
    return embedder
