"""`--class-weight` of train: how much the classes weigh."""

import argparse

from keras_combiner.cli.label_values import by_name, joined, label_value, weight

_OPTION = "--class-weight"
_BALANCED = "balanced"


def add_class_weight(parser):
    """Adds --class-weight."""
    parser.add_argument(
        _OPTION,
        action="append",
        type=label_value(weight, whole=_balanced),
        metavar="LABEL=WEIGHT",
        help="multiply the loss of documents of this label with a number, once for each label, 1 "
        "for the others; or balanced: every class weighs as much as any other, however few "
        "documents it has; of several labels each: the documents that have it as much as the "
        "others (default: every document weighs the same)",
    )


def settle(arguments):
    """Joins what --class-weight was given: "balanced", a dict of label to weight, or None.

    Args:
        arguments: `argparse.Namespace`, changed in place.

    Raises:
        ValueError: for two weights of a label, or both "balanced" and a weight.
    """
    balanced, values = joined(_OPTION, arguments.class_weight)
    if balanced and values:
        label, value = next(iter(values.items()))
        raise ValueError(
            f"{_OPTION} {_BALANCED} weighs every class. Leave it out, or {label}={value:g}."
        )
    arguments.class_weight = balanced or values or None


def class_weight_of(arguments, names):
    """Returns what `LongDocumentClassifier.fit` takes as `class_weight`.

    Args:
        arguments: `argparse.Namespace`, settled.
        names: list of str, the labels that are learned.

    Returns:
        "balanced", a dict of name to float, or None.

    Raises:
        ValueError: for an unknown label, with the nearest names, or two weights for one.
    """
    if isinstance(arguments.class_weight, dict):
        return by_name(_OPTION, arguments.class_weight, names)
    return arguments.class_weight


def _balanced(string):
    if string != _BALANCED:
        raise argparse.ArgumentTypeError(f"expected {_BALANCED} or LABEL=WEIGHT, not {string!r}")
    return string
