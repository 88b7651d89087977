"""Keras layers: attention, the encoder block, embeddings and pooling."""

from keras_combiner.layers.combiner_attention import CombinerAttention

__all__ = ["CombinerAttention"]
