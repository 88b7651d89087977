"""Keras layers: attention, the encoder block, embeddings and pooling."""

from keras_combiner.layers.bag_of_tokens import BagOfTokens
from keras_combiner.layers.combiner_attention import CombinerAttention
from keras_combiner.layers.combiner_encoder import CombinerEncoder
from keras_combiner.layers.dense_per_label import DensePerLabel
from keras_combiner.layers.gelu_approximate import gelu_approximate
from keras_combiner.layers.label_attention_pooling import LabelAttentionPooling
from keras_combiner.layers.masked_average_pooling import MaskedAveragePooling
from keras_combiner.layers.sum_of_branches import SumOfBranches
from keras_combiner.layers.token_and_position_embedding import TokenAndPositionEmbedding
from keras_combiner.layers.token_dropout import TokenDropout

__all__ = [
    "BagOfTokens",
    "CombinerAttention",
    "CombinerEncoder",
    "DensePerLabel",
    "LabelAttentionPooling",
    "MaskedAveragePooling",
    "SumOfBranches",
    "TokenAndPositionEmbedding",
    "TokenDropout",
    "gelu_approximate",
]
