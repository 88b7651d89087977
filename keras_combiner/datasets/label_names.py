"""The name of a label: one rule, wherever labels come from."""

import contextlib
import decimal
import difflib
import enum
import math
import numbers
import re
import unicodedata
from collections.abc import Iterable, Sequence

from keras_combiner.shortened_repr import shortened_repr

_MOST_NEAREST = 3
# As programs write booleans and whole numbers into files that hold text alone.
_BOOLEANS = {"true": True, "false": False}
_WHOLE_NUMBER = re.compile(r"[+-]?\d+\.0+")
_NOT_A_NUMBER = re.compile(r"[+-]?nan", re.IGNORECASE)
# Characters without width, which str.split does not take for white space: soft hyphen, zero-width
# space, marks of direction, word joiner and byte order mark. Joiners of letters are not among them.
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200e\u200f\u2060\ufeff"))


class LabelError(ValueError):
    """What is wrong with a label, before its place is known."""


def label_name(label) -> str:
    """Returns the name of the class that a label stands for.

    Text is its own name, in Unicode's composed form (NFC), and bytes are UTF-8. `True` is "True"; a
    whole number is written without a fraction, so that 1, 1.0 and numpy's and TensorFlow's scalars
    of them are all "1".

    Args:
        label: str, bytes, bool, int, float, `decimal.Decimal`, a member of an `enum.Enum` that has
            such a value, or a scalar of numpy, pandas, TensorFlow or PyTorch.

    Returns:
        str, not blank.

    Raises:
        LabelError: for a missing label (None, NaN, NaT, pandas.NA, blank text), an infinite one, or
            whatever is not a scalar.

    Example:

    >>> label_name(1.0), label_name(True), label_name(b"tale"), label_name(0.5)
    ('1', 'True', 'tale', '0.5')
    """
    if type(label) is str and label.isascii() and label.strip():
        return label  # as most are: readers ask once a document
    label = _scalar(label)
    if is_missing(label):
        raise LabelError(
            f"The label is missing ({label!r}). Give the document a label or leave it out."
        )
    if isinstance(label, str):
        return unicodedata.normalize("NFC", str(label))
    if isinstance(label, bool):
        return str(label)
    if isinstance(label, numbers.Integral):
        return str(int(label))
    if isinstance(label, (float, decimal.Decimal)):
        if math.isinf(label):
            raise LabelError(f"A label must be finite. Received: {label!r}.")
        if label == int(label):
            return str(int(label))
        return str(label)
    raise LabelError(
        "A label must be a string, a number or a boolean. Received: "
        f"{shortened_repr(label)} ({type(label).__name__})."
    )


def text_label_name(text: str) -> str:
    """Returns the name of the class that a cell stands for, in files that hold text alone.

    A CSV file says neither that 1.0 is a number nor that TRUE is a boolean: cells that look so are
    read so, and get the name that the same label has in JSON, Parquet or Python. NaN is how such
    files spell a number that is missing.

    Args:
        text: str, the cell.

    Returns:
        str, not blank.

    Raises:
        LabelError: if the cell is blank or NaN.

    Example:

    >>> [text_label_name(x) for x in ("1.0", "TRUE", "1.50", "007", "tale")]
    ['1', 'True', '1.50', '007', 'tale']
    """
    if text.strip().lower() in _BOOLEANS:
        return label_name(_BOOLEANS[text.strip().lower()])
    if _WHOLE_NUMBER.fullmatch(text.strip()):
        return label_name(int(text.strip().partition(".")[0]))
    if _NOT_A_NUMBER.fullmatch(text.strip()):
        return label_name(float("nan"))
    return label_name(text)


def is_missing(label) -> bool:
    """Whether a label says that there is none: None, NaN, NaT, pandas.NA, or blank text.

    Args:
        label: anything.

    Returns:
        bool.

    Example:

    >>> is_missing(float("nan")), is_missing("  "), is_missing(0)
    (True, True, False)
    """
    if type(label) is str and label.isascii():
        return not label.strip()
    label = _scalar(label)
    if label is None:
        return True
    if isinstance(label, str):
        return not _visible(label)
    if type(label).__name__ in ("NAType", "NaTType"):  # of pandas, which need not be installed
        return True
    if isinstance(label, (float, decimal.Decimal)):
        return math.isnan(label)
    return _kind(label) in ("m", "M") and label.ndim == 0 and bool(label != label)


def alike(names: Iterable[str]) -> list[list[str]]:
    """Finds names that a reader would take for one: they differ in white space only.

    Characters without width, such as a byte order mark, count as white space.

    Args:
        names: iterable of str, all different.

    Returns:
        list of lists of str, those that look alike together; empty if all look different.

    Example:

    >>> alike(["tale", " tale", "Tale"])
    [[' tale', 'tale']]
    """
    groups = {}
    for name in sorted(names):
        groups.setdefault(_visible(unicodedata.normalize("NFC", name)), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def spelled_alike(names: Iterable[str]) -> list[list[str]]:
    """Finds names that may be one class in two spellings: that differ in case, or as 1 and 1.0.

    Names that are text stay what they are, wherever they come from; files that hold text alone are
    read by `text_label_name`, which makes one name of "true" and "True", or of "1" and "1.0".

    Args:
        names: iterable of str, all different.

    Returns:
        list of lists of str, those that look alike together; empty if all look different.

    Example:

    >>> spelled_alike(["True", "tale", "true", "1.0", "1", "10"])
    [['1', '1.0'], ['True', 'true']]
    """
    groups = {}
    for name in sorted(names):
        spelled = name
        with contextlib.suppress(LabelError):  # the word "nan", which is a name in Python
            spelled = text_label_name(name)
        groups.setdefault(_visible(spelled).casefold(), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def alike_error(found: Iterable[str]) -> LabelError:
    """Says that labels look alike, which are different classes as they stand.

    Args:
        found: iterable of str, the labels, quoted, and perhaps where they stand.

    Returns:
        `LabelError`, to be raised.

    Example:

    >>> print(alike_error(["'tale'", "' tale' (reviews.jsonl:3)"]))
    The labels 'tale' and ' tale' (reviews.jsonl:3) look alike: they differ in white space only. \
Write them in one way.
    """
    return LabelError(
        f"The labels {' and '.join(found)} look alike: they differ in white space only. Write them "
        "in one way."
    )


def unknown_label(name: str, known: Sequence[str], place: str = "") -> LabelError:
    """Says that there is no such label, in a sentence that stays short whatever is known.

    Args:
        name: str, the unknown one.
        known: sequence of str, the labels that there are.
        place: str, where the label stands: "label 3", or a file and a line; empty if unknown.

    Returns:
        `LabelError`, to be raised.

    Example:

    >>> print(unknown_label("tales", ["tale", "weather"], "label 3"))
    label 3: unknown label 'tales'. Nearest of the 2 labels that are known: 'tale'.
    """
    nearest = difflib.get_close_matches(name, known, n=_MOST_NEAREST) or list(known[:_MOST_NEAREST])
    shown = ", ".join(shortened_repr(x) for x in nearest)
    where = f"{place}: " if place else ""
    return LabelError(
        f"{where}unknown label {shortened_repr(name)}. Nearest of the {len(known)} labels that "
        f"are known: {shown}."
    )


def _visible(name):
    """What of a name can be seen, with one space between words."""
    return " ".join(name.translate(_INVISIBLE).split())


def _scalar(label):
    """The label as a plain Python value, if it is a scalar of a kind that is known."""
    if isinstance(label, enum.Enum):
        return _scalar(label.value)
    if type(label).__module__.startswith("tensorflow") and hasattr(label, "numpy"):
        label = label.numpy()
    if type(label).__module__.startswith("torch") and getattr(label, "ndim", None) == 0:
        # numpy has no bfloat16; every one is a float32.
        label = (label.float() if str(label.dtype) == "torch.bfloat16" else label).numpy(force=True)
    if getattr(label, "ndim", None) == 0 and getattr(label, "dtype", None) is not None:
        if _kind(label) == "f":
            return float(str(label))  # np.float32(0.1) is 0.1, and not 0.10000000149
        if _kind(label) in ("m", "M"):
            return label
        label = label.item()
    if isinstance(label, bytes):
        try:
            return label.decode()
        except UnicodeDecodeError:
            raise LabelError(f"A label in bytes must be UTF-8. Received: {label[:40]!r}.") from None
    return label


def _kind(label):
    """The letter of numpy's for the type of a label; None for what is not of numpy."""
    return getattr(getattr(label, "dtype", None), "kind", None)
