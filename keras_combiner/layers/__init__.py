"""Keras layers: attention, the encoder block, embeddings and pooling."""

from keras_combiner.layers.combiner_attention import CombinerAttention
from keras_combiner.layers.combiner_encoder import CombinerEncoder
from keras_combiner.layers.gelu_approximate import gelu_approximate
from keras_combiner.layers.masked_average_pooling import MaskedAveragePooling
from keras_combiner.layers.token_and_position_embedding import TokenAndPositionEmbedding
from keras_combiner.layers.token_dropout import TokenDropout

__all__ = [
    "CombinerAttention",
    "CombinerEncoder",
    "MaskedAveragePooling",
    "TokenAndPositionEmbedding",
    "TokenDropout",
    "gelu_approximate",
]
