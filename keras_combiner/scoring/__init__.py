"""A corpus scored with an exported SavedModel, on Apache Beam; nothing here imports Keras."""

from keras_combiner.scoring.score_corpus import score_corpus

__all__ = ["score_corpus"]
