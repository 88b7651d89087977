"""QuantizationAwareClassifier: a classifier that trains with the errors of 8 bits."""

import contextlib

import keras

from keras_combiner.fake_quantization import fake_quantization
from keras_combiner.fake_quantization.learned_ranges import LearnedRanges
from keras_combiner.models.long_document_classifier import LongDocumentClassifier


@keras.saving.register_keras_serializable(package="keras_combiner")
class QuantizationAwareClassifier(LongDocumentClassifier):
    """The classifier that `quantization_aware` returns; see there.

    It has the arguments, weights and methods of `LongDocumentClassifier`, and `learned_ranges`.
    """

    learns_ranges = True

    def __init__(self, backbone, tokenizer, labels, **kwargs):
        super().__init__(backbone, tokenizer, labels, **kwargs)
        self._weights_are_quantized = True
        self.learned_ranges = LearnedRanges(fake_quantization.names(self), name="learned_ranges")
        fake_quantization.apply(self, self.learned_ranges, lambda: self._weights_are_quantized)

    @contextlib.contextmanager
    def weights_in_float(self):
        """Lets calls quantize activations only: exports quantize weights themselves."""
        self._weights_are_quantized = False
        try:
            yield
        finally:
            self._weights_are_quantized = True

    def _scale_logits(self, factor):
        super()._scale_logits(factor)
        head = self.get_layer(self.task.output)
        for bound in self.learned_ranges.ranges.get(f"{head.path}/output", ()):
            bound.assign(bound * factor)

    def without_quantization(self):
        """Returns the `LongDocumentClassifier` with these weights that does not quantize."""
        plain = LongDocumentClassifier.from_config(self.get_config())
        plain.set_weights([x.numpy() for x in self.plain_weights()])
        return plain

    def plain_weights(self):
        """Returns the weights except for the ranges, a list of `keras.Variable`."""
        ranges = {id(x) for x in self.learned_ranges.weights}
        return [x for x in self.weights if id(x) not in ranges]
