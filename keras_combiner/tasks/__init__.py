"""What a classifier's outputs mean: one class of several, any number of labels, or a number."""

from keras_combiner.tasks.multi_label import MultiLabel
from keras_combiner.tasks.registry import TASKS, get
from keras_combiner.tasks.regression import Regression
from keras_combiner.tasks.reliability import Reliability
from keras_combiner.tasks.single_label import SingleLabel
from keras_combiner.tasks.task import Task

__all__ = ["TASKS", "MultiLabel", "Regression", "Reliability", "SingleLabel", "Task", "get"]
