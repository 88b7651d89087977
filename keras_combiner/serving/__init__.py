"""A server over exported SavedModels, on KServe: V1 REST, V2 REST and V2 gRPC.

Nothing here imports Keras: what answers is the SavedModel, in TensorFlow.
"""

from keras_combiner.serving.kserve_import import kserve  # noqa: F401  before all others
from keras_combiner.serving.prediction_server import PredictionServer
from keras_combiner.serving.saved_model_predictor import SavedModelPredictor

__all__ = ["PredictionServer", "SavedModelPredictor"]
