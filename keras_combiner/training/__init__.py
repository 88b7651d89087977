"""Training that survives, on one device or many: callbacks for `LongDocumentClassifier.fit`."""

from keras_combiner.models.text_training_callback import TextTrainingCallback
from keras_combiner.training.best_model import BestModel
from keras_combiner.training.checkpoints import Checkpoints
from keras_combiner.training.distributed import Distributed
from keras_combiner.training.finite_loss import FiniteLoss
from keras_combiner.training.layout_map import layout_map
from keras_combiner.training.progress import Progress

__all__ = [
    "BestModel",
    "Checkpoints",
    "Distributed",
    "FiniteLoss",
    "Progress",
    "TextTrainingCallback",
    "layout_map",
]
