"""Smaller models: pruning, clustering and quantization-aware training, on TFMOT's machinery."""

from keras_combiner.optimization.fine_tuned import fine_tuned
from keras_combiner.optimization.magnitude_pruning import MagnitudePruning
from keras_combiner.optimization.weight_clustering import WeightClustering

__all__ = ["MagnitudePruning", "WeightClustering", "fine_tuned"]
