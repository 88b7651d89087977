"""LABEL=VALUE: options that take a number for some of the labels."""

import argparse
import contextlib
import math
import struct


def label_value(value, whole):
    """Makes an argparse type: LABEL=VALUE, or something without "=" for all labels.

    The last "=" divides: a label may hold others.

    Args:
        value: callable of str, the argparse type of VALUE.
        whole: callable of str, the argparse type of what stands alone.

    Returns:
        A function of str that returns a pair: the label, str, and what `value` made of the rest;
        or None, and what `whole` made of all.

    Example:

    >>> parse = label_value(float, whole=float)
    >>> parse("a=b=0.5"), parse("0.5")
    (('a=b', 0.5), (None, 0.5))
    """

    def parse(string):
        label, divider, rest = string.rpartition("=")
        if not divider:
            return None, whole(string)
        if not label.strip():
            raise argparse.ArgumentTypeError(f"expected a label before the last '=' of {string!r}")
        return label, value(rest)

    return parse


def weight(string):
    """An argparse type: a number of at least 0 that a float32 can hold.

    Args:
        string: str.

    Returns:
        float.

    Example:

    >>> weight("2")
    2.0
    """
    try:
        value = float(string)
        struct.pack("<f", value)  # an OverflowError if it would be infinite
    except (ValueError, OverflowError):
        value = -1.0
    if not 0 <= value < math.inf:  # also refuses nan
        raise argparse.ArgumentTypeError(f"expected a finite number >= 0, not {string!r}")
    return value


def joined(option, pairs):
    """Joins what an option that may be repeated was given.

    Args:
        option: str, as "--threshold", for errors.
        pairs: list of pairs, as `label_value` makes them; None if the option was left out.

    Returns:
        pair: what holds for all labels, or None; and a dict of label to value.

    Raises:
        ValueError: if there are two values for a label, or two for all of them.

    Example:

    >>> joined("--threshold", [(None, 0.5), ("urgent", 0.3)])
    (0.5, {'urgent': 0.3})
    """
    values = {}
    for label, value in pairs or ():
        if label in values:
            raise _two_values(option, label, values[label], value)
        values[label] = value
    return values.pop(None, None), values


def by_name(option, values, names):
    """Finds the labels of a command line among the names that there are.

    Labels are read like the cells of a CSV file: as they stand or, if there is no such name, by the
    rule of `keras_combiner.datasets.label_names`.

    Args:
        option: str, as "--threshold", for errors.
        values: dict of label to value.
        names: list of str, the labels that are known.

    Returns:
        dict of name to value.

    Raises:
        ValueError: for an unknown label, with the nearest names; or if two are one name.

    Example:

    >>> by_name("--threshold", {"TRUE": 0.3}, ["False", "True"])
    {'True': 0.3}
    """
    from keras_combiner.datasets.label_names import LabelError, text_label_name, unknown_label
    from keras_combiner.datasets.label_places import LabelPlaces

    places, found = LabelPlaces(names), {}
    for label, value in values.items():
        spellings = [label]
        with contextlib.suppress(LabelError):  # a word for a number that is missing
            spellings.append(text_label_name(label))
        known = next((x for x in spellings if x in places), None)
        if known is None:
            raise ValueError(f"{option}: {unknown_label(label, names)}")
        name = names[places[known]]
        if name in found:
            raise _two_values(option, name, found[name], value)
        found[name] = value
    return found


def _two_values(option, label, first, second):
    of = "all labels" if label is None else f"the label {label!r}"
    return ValueError(f"{option} has two values for {of}: {first!r} and {second!r}. Give one.")
