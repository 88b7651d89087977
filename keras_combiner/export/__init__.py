"""SavedModel, LiteRT and ONNX out, each read back and compared with the model it came from."""

from keras_combiner.export.litert import export_litert, run_litert
from keras_combiner.export.onnx import export_onnx, run_onnx
from keras_combiner.export.quantization import QUANTIZATIONS
from keras_combiner.export.saved_model import export_saved_model
from keras_combiner.export.tf_serving import export_for_tf_serving, next_version
from keras_combiner.export.verification import ExportReport, write_reports

__all__ = [
    "QUANTIZATIONS",
    "ExportReport",
    "export_for_tf_serving",
    "export_litert",
    "export_onnx",
    "export_saved_model",
    "next_version",
    "run_litert",
    "run_onnx",
    "write_reports",
]
