"""Full attention over long documents at sub-quadratic cost, for Keras 3."""

from keras_combiner.version import __version__

__all__ = ["__version__"]
