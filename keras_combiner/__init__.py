"""Full attention over long documents at sub-quadratic cost, for Keras 3."""

from keras_combiner.version import __version__

_MODELS = (
    *("CombinerBackbone", "CombinerCausalLM", "CombinerMaskedLM"),
    *("LongDocumentClassifier", "LongDocumentEmbedder"),
)

__all__ = [*_MODELS, "__version__"]


def __getattr__(name):
    """Imports TensorFlow and Keras when a model is asked for, not for `keras-combiner --help`."""
    if name in _MODELS:
        from keras_combiner import models

        return getattr(models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
