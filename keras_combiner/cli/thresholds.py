"""`--threshold` of evaluate and predict: above which probability a label is given."""

from keras_combiner.cli.arguments import probability
from keras_combiner.cli.label_values import by_name, joined, label_value

_OPTION = "--threshold"


def add_threshold(parser):
    """Adds --threshold."""
    parser.add_argument(
        _OPTION,
        action="append",
        type=label_value(probability, whole=probability),
        metavar="PROBABILITY",
        help="give a label only if its probability is above this; documents of one label may then "
        "get none. For documents of several labels also LABEL=PROBABILITY, once for each label; a "
        "number beside it is for the others (default: what train --calibrate chose; without it 0.5 "
        "for each of several labels, and always the most probable one of single labels)",
    )


def threshold_of(arguments, task, names):
    """Returns what `LongDocumentClassifier.classify` takes as `threshold`.

    Args:
        arguments: `argparse.Namespace`.
        task: `keras_combiner.tasks.Task`, the model's.
        names: list of str, its labels.

    Returns:
        float for all labels; a dict of label to float; or None without --threshold.

    Raises:
        ValueError: for an unknown label, or two thresholds for one.
    """
    for_all, values = joined(_OPTION, arguments.threshold)
    if not values:
        return for_all
    if task.name != "multi_label":
        return values  # refused by the task, which says why
    values = by_name(_OPTION, values, names)
    return values if for_all is None else {**dict.fromkeys(names, for_all), **values}
