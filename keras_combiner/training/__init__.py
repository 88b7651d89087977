"""Training that survives: callbacks for `LongDocumentClassifier.fit` on texts."""

from keras_combiner.training.best_model import BestModel
from keras_combiner.training.checkpoints import Checkpoints
from keras_combiner.training.finite_loss import FiniteLoss
from keras_combiner.training.progress import Progress

__all__ = ["BestModel", "Checkpoints", "FiniteLoss", "Progress"]
