"""What a classifier's outputs mean: one class of several, any number of labels, or a number."""

from keras_combiner.models.tasks.multi_label import MultiLabel
from keras_combiner.models.tasks.registry import TASKS, get
from keras_combiner.models.tasks.regression import Regression
from keras_combiner.models.tasks.reliability import Reliability
from keras_combiner.models.tasks.single_label import SingleLabel
from keras_combiner.models.tasks.task import Task

__all__ = ["TASKS", "MultiLabel", "Regression", "Reliability", "SingleLabel", "Task", "get"]
