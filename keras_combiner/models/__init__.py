"""Keras models made of the layers: the backbone and the document classifier."""

from keras_combiner.models.combiner_backbone import SIZES, CombinerBackbone

__all__ = ["SIZES", "CombinerBackbone"]
