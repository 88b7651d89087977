"""Full attention over long documents at sub-quadratic cost, for Keras 3."""

from keras_combiner.models import CombinerBackbone, LongDocumentClassifier
from keras_combiner.version import __version__

__all__ = ["CombinerBackbone", "LongDocumentClassifier", "__version__"]
