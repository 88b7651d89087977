"""Smaller models: pruning, clustering and quantization-aware training, on TFMOT's machinery."""

from keras_combiner.models.fine_tuned import fine_tuned
from keras_combiner.models.quantization_aware import quantization_aware
from keras_combiner.models.quantization_aware_classifier import QuantizationAwareClassifier
from keras_combiner.optimization.magnitude_pruning import MagnitudePruning
from keras_combiner.optimization.weight_clustering import WeightClustering

__all__ = [
    "MagnitudePruning",
    "QuantizationAwareClassifier",
    "WeightClustering",
    "fine_tuned",
    "quantization_aware",
]
