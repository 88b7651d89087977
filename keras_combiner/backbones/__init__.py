"""Token ids to one vector a token: functional Keras models made of the layers."""

from keras_combiner.backbones.combiner_backbone import SIZES, CombinerBackbone

__all__ = ["SIZES", "CombinerBackbone"]
