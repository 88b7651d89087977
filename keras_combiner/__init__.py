"""Full attention over long documents at sub-quadratic cost, for Keras 3."""

from keras_combiner.version import __version__

__all__ = ["CombinerBackbone", "LongDocumentClassifier", "__version__"]


def __getattr__(name):
    """Imports TensorFlow and Keras when a model is asked for, not for `keras-combiner --help`."""
    if name in ("CombinerBackbone", "LongDocumentClassifier"):
        from keras_combiner import models

        return getattr(models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
