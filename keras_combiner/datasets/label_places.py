"""LabelPlaces: where among known names a label stands."""

import collections
import contextlib

from keras_combiner.datasets.label_names import (
    LabelError,
    label_name,
    text_label_name,
    unknown_label,
)


class LabelPlaces:
    """The places of labels among names, found in the same time however many names there are.

    A name is found as it stands, or by the rule of `keras_combiner.datasets.label_names`. Names of
    models that were saved before there was that rule ("true", "1.0") are also found under the names
    that it gives them.

    Args:
        names: list of str, all different.

    Example:

    >>> places = LabelPlaces(["1", "tale", "true"])
    >>> places["tale"], places[1.0], places[True]
    (1, 0, 2)
    >>> "tales" in places
    False
    """

    def __init__(self, names):
        self._names = names
        self._places = {name: i for i, name in enumerate(names)}
        by_rule = collections.defaultdict(list)
        for i, name in enumerate(names):
            with contextlib.suppress(LabelError):  # blank
                by_rule[text_label_name(name)].append(i)
        for name, places in by_rule.items():
            if len(places) == 1:
                self._places.setdefault(name, places[0])

    def __getitem__(self, label):
        """Returns the place of a label, int.

        Raises:
            LabelError: if it is missing, not a scalar, or unknown.
        """
        place = self._places.get(label) if isinstance(label, str) else None
        if place is None:
            name = label_name(label)
            place = self._places.get(name)
            if place is None:
                raise unknown_label(name, self._names)
        return place

    def __contains__(self, label):
        """Whether a label has a place among the names.

        Raises:
            LabelError: if it is missing, or not a scalar.
        """
        return label in self._places or label_name(label) in self._places
