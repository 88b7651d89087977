"""What a model's outputs mean: a class, any number of labels, a number, or a vector."""

from keras_combiner.tasks.embedding import Embedding
from keras_combiner.tasks.multi_label import MultiLabel
from keras_combiner.tasks.outputs import Outputs
from keras_combiner.tasks.registry import TASKS, get
from keras_combiner.tasks.regression import Regression
from keras_combiner.tasks.reliability import Reliability
from keras_combiner.tasks.single_label import SingleLabel
from keras_combiner.tasks.task import Task

__all__ = [
    "TASKS",
    "Embedding",
    "MultiLabel",
    "Outputs",
    "Regression",
    "Reliability",
    "SingleLabel",
    "Task",
    "get",
]
