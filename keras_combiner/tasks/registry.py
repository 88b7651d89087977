"""The tasks by their names."""

from keras_combiner.tasks.multi_label import MultiLabel
from keras_combiner.tasks.regression import Regression
from keras_combiner.tasks.single_label import SingleLabel
from keras_combiner.tasks.task import Task

TASKS = {task.name: task for task in (SingleLabel, MultiLabel, Regression)}


def get(task):
    """Returns a task.

    Args:
        task: str, one of `TASKS`; a `Task`; or what `Task.get_config` returned.

    Returns:
        `Task`.

    Raises:
        ValueError: for anything else.

    Example:

    >>> get("multi_label").get_config()
    {'name': 'multi_label'}
    """
    if isinstance(task, Task):
        return task
    config = dict(task) if isinstance(task, dict) else {"name": task}
    name = config.pop("name", None)
    if not isinstance(name, str) or name not in TASKS:
        raise ValueError(
            f"`task` must be one of {', '.join(map(repr, TASKS))}. Received: {task!r}."
        )
    return TASKS[name](**config)
