"""quantization_aware: from a trained classifier to one that is trained with int8 rounding."""

from keras_combiner.models.long_document_classifier import LongDocumentClassifier
from keras_combiner.models.quantization_aware_classifier import QuantizationAwareClassifier


def quantization_aware(classifier):
    """Copies a classifier into one that is trained with int8 rounding.

    Kernels, embedding tables and the inputs and outputs of all matrix products, those of attention
    too, are rounded to 8 bits and back, as in the "int8" kind of `export_litert`. The ranges of
    activations are learned in `fit`, which belongs after this: `fine_tuned` with the documents that
    the classifier was trained on. Then `export_litert(..., quantization="int8")` needs no
    calibration data. The model is saved to .keras and loaded as any classifier. A frozen layer
    keeps its ranges; where it has not learned them yet, it does not round.

    It is for training and for this export. For everything else, `without_quantization()` returns a
    classifier without the rounding, with the weights as they are then.

    Masking: as in the classifier.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`, trained; it is left as it is.

    Returns:
        `QuantizationAwareClassifier`, a `LongDocumentClassifier`.

    Raises:
        ImportError: if tensorflow-model-optimization is missing (extra "tfmot").
        RuntimeError: if Keras runs on another backend than TensorFlow.
        TypeError: if it is not a `LongDocumentClassifier`.
        ValueError: if it is quantized already.

    Example:

    >>> texts, labels = ["a b", "c d"] * 8, ["x", "y"] * 8
    >>> classifier = LongDocumentClassifier.from_texts(
    ...     texts, labels, sequence_length=32, tokenizer="bytes", num_layers=1
    ... )
    >>> classifier = quantization_aware(classifier)
    >>> _ = classifier.fit(texts, labels, batch_size=4, verbose=0)
    >>> classifier.predict(["a b"], verbose=0).shape
    (1, 2)

    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", CVPR 2018, https://arxiv.org/abs/1712.05877.
    """
    if not isinstance(classifier, LongDocumentClassifier):
        raise TypeError(
            f"`classifier` must be a LongDocumentClassifier. Received: {type(classifier).__name__}."
        )
    if classifier.learns_ranges:
        raise ValueError("The classifier is quantization-aware already: `fit` it.")
    aware = QuantizationAwareClassifier.from_config(classifier.get_config())
    for weight, source in zip(aware.plain_weights(), classifier.weights, strict=True):
        weight.assign(source)
    return aware
