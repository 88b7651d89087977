"""Keras models made of the layers: the backbone and the document classifier."""

from keras_combiner.models.combiner_backbone import SIZES, CombinerBackbone
from keras_combiner.models.long_document_classifier import LongDocumentClassifier

__all__ = ["SIZES", "CombinerBackbone", "LongDocumentClassifier"]
