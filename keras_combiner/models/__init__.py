"""Keras models made of the layers: backbone, document classifier, embedder, language models."""

from keras_combiner.backbones.combiner_backbone import SIZES, CombinerBackbone
from keras_combiner.export.token_evidence import TokenEvidence
from keras_combiner.models.calibration_report import CalibrationReport
from keras_combiner.models.combiner_causal_lm import CombinerCausalLM
from keras_combiner.models.combiner_masked_lm import CombinerMaskedLM
from keras_combiner.models.long_document_classifier import LongDocumentClassifier
from keras_combiner.models.long_document_embedder import LongDocumentEmbedder
from keras_combiner.models.multiple_negatives_ranking import MultipleNegativesRanking
from keras_combiner.models.quantization_aware_classifier import QuantizationAwareClassifier

__all__ = [
    "SIZES",
    "CalibrationReport",
    "CombinerBackbone",
    "CombinerCausalLM",
    "CombinerMaskedLM",
    "LongDocumentClassifier",
    "LongDocumentEmbedder",
    "MultipleNegativesRanking",
    "QuantizationAwareClassifier",
    "TokenEvidence",
]
