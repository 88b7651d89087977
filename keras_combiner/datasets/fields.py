"""Picking text and target out of a record's named fields: what all formats of records share."""

import math
import numbers
from collections.abc import Iterable, Mapping

from keras_combiner.datasets.document import Document
from keras_combiner.datasets.float32 import number_of, weight_of
from keras_combiner.datasets.label_names import LabelError, is_missing, label_name
from keras_combiner.datasets.weighted_document import WeightedDocument

# task: the field that its targets stand in, unless another is named.
TARGET_FIELDS = {"single_label": "label", "multi_label": "labels", "regression": "target"}

_MOST_NAMES = 10
_LONGEST_NAME = 40
# Of the characters of a text. Some files have one here and there; of UTF-16 it is every second.
_MOST_NULS = 0.25


class RecordError(ValueError):
    """What is wrong with a record, before its place in the file is known."""


class Fields:
    """Which fields of a record hold the text and the target, and what kind of target it is.

    Without a task, the first record tells it: it has a field "label", "labels" or "target", and
    the records after it must have the same.

    Args:
        text_field: str. The name of the field with the text.
        label_field: str or None. The name of the field with the target; "label", "labels" or
            "target", as the task has it, if None.
        task: "single_label", "multi_label", "regression", or None to be told by the first record.
        require_labels: bool. Whether every document must have a target.
        with_labels: bool. Whether targets are read at all; if not, every label is None.
        weight_field: str or None. The name of the field with the weight, if documents have one.

    Raises:
        ValueError: a name is not a string or is empty, two are the same, or there is no such task.

    Example:

    >>> Fields().document({"text": "A round fruit.", "labels": ["red", "round"]})
    Document(text='A round fruit.', label=('red', 'round'))
    """

    def __init__(
        self,
        text_field: str = "text",
        label_field: str | None = None,
        task: str | None = None,
        require_labels: bool = True,
        with_labels: bool = True,
        weight_field: str | None = None,
    ):
        if task is not None and task not in TARGET_FIELDS:
            raise ValueError(
                f"task must be one of {', '.join(map(repr, TARGET_FIELDS))}, or None for what the "
                f"first record has. Received: {task!r}."
            )
        names = [("text_field", text_field)]
        if label_field is not None:
            names.append(("label_field", label_field))
        if weight_field is not None:
            names.append(("weight_field", weight_field))
        for argument, name in names:
            if not isinstance(name, str) or not name:
                raise ValueError(f"{argument} must be the name of a field. Received: {name!r}.")
        if with_labels and text_field == (label_field or TARGET_FIELDS[task or "single_label"]):
            raise ValueError(
                f"text_field and label_field must differ. Received {text_field!r} for both."
            )
        if weight_field in (text_field, label_field or TARGET_FIELDS[task or "single_label"]):
            raise ValueError(
                "weight_field must differ from text_field and label_field. Received: "
                f"{weight_field!r}."
            )
        self.text_field = text_field
        self.weight_field = weight_field
        self.require_labels = require_labels and with_labels
        self.with_labels = with_labels
        self._label_field = label_field
        self._task = task

    def fixed(self, names: Iterable[str]) -> "Fields":
        """Settles the task by the fields of a first record.

        Args:
            names: iterable of str, the fields that the record has.

        Returns:
            `Fields` whose task is known, `self` if it was already.

        Raises:
            RecordError: if the record has fields of two tasks.
        """
        if self._task is not None or not self.with_labels:
            return self
        task = "single_label"
        if self._label_field is None:
            names = set(names)
            found = [task for task, field in TARGET_FIELDS.items() if field in names]
            if len(found) > 1:
                fields = " and ".join(repr(TARGET_FIELDS[task]) for task in found)
                tasks = " or ".join(f"task={task!r}" for task in found)
                raise RecordError(
                    f"fields {fields} are there at once. Say which is meant with {tasks}."
                )
            task = found[0] if found else task
        return Fields(
            self.text_field,
            self._label_field,
            task,
            self.require_labels,
            weight_field=self.weight_field,
        )

    @property
    def task(self) -> str:
        """The task, "single_label" if nothing else was said."""
        return self._task or "single_label"

    @property
    def label_field(self) -> str:
        """The name of the field with the target."""
        return self._label_field or TARGET_FIELDS[self.task]

    def document(self, record: Mapping) -> Document:
        """Makes a document of a record.

        Args:
            record: mapping of str to str, numbers, booleans, lists or None.

        Returns:
            `Document`.

        Raises:
            RecordError: for whatever is wrong with it.
        """
        fields = self.fixed(record)
        text, target = fields._text(record), fields._target(record)
        if self.weight_field is None:
            return Document(text, target)
        return WeightedDocument(text, target, self._weight(record))

    def _text(self, record):
        if self.text_field not in record:
            raise self._missing(record, "text_field", self.text_field)
        text = record[self.text_field]
        if not isinstance(text, str):
            raise RecordError(
                f"field {self.text_field!r} must be a string, received {kind(text)}. "
                "If the text is in another field, name it with text_field=..."
            )
        if text.count("\0") > _MOST_NULS * len(text):
            raise RecordError(
                f"field {self.text_field!r} holds a NUL at character {text.index(chr(0))} and many "
                "more, as UTF-16 has that was read as something else. Write the text as UTF-8."
            )
        return _encodable(text, self.text_field)

    def _target(self, record):
        if not self.with_labels:
            return None
        value = record.get(self.label_field)
        try:
            if not is_missing(value):
                return getattr(self, f"_{self.task}")(value)
        except LabelError as error:
            raise RecordError(f"field {self.label_field!r}: {error}") from None
        if not self.require_labels:
            return None
        if self.label_field not in record:
            raise self._missing(record, "label_field", self.label_field)
        if isinstance(value, float) and self.task == "regression":
            return self._regression(value)
        wanted = "number" if self.task == "regression" else "label"
        found = "null" if value is None else "blank" if isinstance(value, str) else "NaN"
        raise RecordError(
            f"field {self.label_field!r} is {found}. "
            f"Give the document a {wanted} or take the record out."
        )

    def _single_label(self, value):
        if isinstance(value, (list, Mapping)):
            raise RecordError(
                f"field {self.label_field!r} must be a string or a number, received "
                f"{kind(value)}. If the label is in another field, name it with label_field=...; "
                "several labels a document are task='multi_label'."
            )
        return self._name(value)

    def _multi_label(self, value):
        if not isinstance(value, list):
            raise RecordError(
                f"field {self.label_field!r} must be a list of labels, received {kind(value)}."
            )
        for label in value:
            if isinstance(label, (list, Mapping)) or is_missing(label):
                blank = isinstance(label, str)
                raise RecordError(
                    f"field {self.label_field!r} must hold strings or numbers, received "
                    f"{'a blank' if blank else kind(label)} among them."
                )
        if len(set(value)) < len(value) and all(_is_flag(label) for label in value):
            raise RecordError(
                f"field {self.label_field!r} must hold the labels themselves, received zeros and "
                "ones: a row of an indicator matrix. Write the names of the labels that are one."
            )
        return tuple(self._name(label) for label in value)

    def _name(self, value):
        if isinstance(value, str):
            _encodable(value, self.label_field)
        return label_name(value)

    def _regression(self, value):
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise RecordError(
                f"field {self.label_field!r} must be a number, received {kind(value)}."
            )
        number = number_of(value)
        if number is None:
            raise RecordError(
                f"field {self.label_field!r} must be finite, received {_shown(value)}."
            )
        return number

    def _weight(self, record):
        name = self.weight_field
        if name not in record:
            raise self._missing(record, "weight_field", name)
        value = record[name]
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise RecordError(f"field {name!r} must be a number, received {kind(value)}.")
        weight = weight_of(value)
        if weight is None:
            raise RecordError(
                f"field {name!r} must be finite and at least 0, received {_shown(value)}."
            )
        return weight

    def _missing(self, record, argument, name):
        message = f"no field {name!r}; fields are {listed(record)}."
        others = [x for x in TARGET_FIELDS.values() if x in record and x != name]
        if argument == "label_field" and others and name in TARGET_FIELDS.values():
            return RecordError(
                f"{message} All records of a data set must have the same kind of target: {name!r}."
            )
        return RecordError(f"{message} Name it with {argument}=...")


def listed(names: Iterable[str]) -> str:
    """Quotes names for an error message, the first few and the start of long ones.

    Args:
        names: iterable of str.

    Returns:
        str, the names with commas between them, or "(none)".

    Example:

    >>> listed(["text", "stars"])
    "'text', 'stars'"
    """
    names = list(names)
    shown = [
        repr(name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "...")
        for name in names[:_MOST_NAMES]
    ]
    if len(names) > _MOST_NAMES:
        shown.append(f"and {len(names) - _MOST_NAMES} more")
    return ", ".join(shown) or "(none)"


def kind(value) -> str:
    """Names a value's type in JSON's words.

    Args:
        value: what a record holds.

    Returns:
        str.

    Example:

    >>> kind([1]), kind(None)
    ('an array', 'null')
    """
    if value is None:
        return "null"
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    names[bytes] = "bytes that are not text"
    return names.get(type(value), "an array" if isinstance(value, list) else "an object")


def _is_flag(label):
    return isinstance(label, int | float) and label in (0, 1)


def _shown(number):
    try:
        is_too_large = math.isfinite(number) and number_of(number) is None
    except OverflowError:  # an int of hundreds of digits
        return "a number of hundreds of digits"
    return f"{number}{', which is infinite as a float32' if is_too_large else ''}"


def _encodable(text, field):
    """Returns `text` unless JSON escapes put half a surrogate pair in it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RecordError(
            f"field {field!r} has half a surrogate pair, {text[error.start]!a}, at character "
            f"{error.start}, which is not text. Write the file again from the original text."
        ) from None
    return text
