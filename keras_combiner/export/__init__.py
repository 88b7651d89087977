"""SavedModel and LiteRT out, each read back and compared with the model it came from."""

from keras_combiner.export.litert import export_litert, run_litert
from keras_combiner.export.quantization import QUANTIZATIONS
from keras_combiner.export.saved_model import export_saved_model
from keras_combiner.export.verification import ExportReport, write_reports

__all__ = [
    "QUANTIZATIONS",
    "ExportReport",
    "export_litert",
    "export_saved_model",
    "run_litert",
    "write_reports",
]
