"""Errors as one line that a user can act on."""

import re
import sys
import warnings

from keras_combiner.data_warning import DataWarning

# What the package raises on purpose; anything else is a bug, and its traceback is shown.
_EXPECTED = (OSError, ValueError, ImportError, RuntimeError)

# tf.data reports an error of a Python generator as the error's own text, between the name of a
# graph node and a traceback:
#   {{function_node ...}} ValueError: reviews.jsonl:3: no field 'text'; ...
#   Traceback (most recent call last):
_IN_GENERATOR = re.compile(
    r"(?:^|\s)(?:\w+\.)*(?P<type>\w+(?:Error|Exception)): (?P<message>.*?)"
    r"\s*(?:\nTraceback \(most recent|\n\s*\[\[|\Z)",
    re.DOTALL,
)

# Readers name the argument of Python; here it is an option.
_OPTIONS = {
    "text_field=...": "--text-field",
    'tokenizer="bytes"': "--tokenizer bytes",
    "vocabulary_size=...": "--vocabulary-size",
    "label_field=...": "--label-field",
    "weight_field=...": "--weight-field",
    "weight_field='": "--weight-field '",
    "max_accuracy_drop=": "--max-accuracy-drop ",
    "task='": "--task '",
    "input_type='token_ids'": "--input-type token_ids",
    "name=...": "--name",
    "sequence_length or": "--sequence-length or",
    "long_texts='windows'": "--long-texts windows",
    "class_weight='balanced'": "--class-weight balanced",
    "resume=True": "--resume",
    "overwrite=True (--overwrite on the command line)": "--overwrite",
}


def show_warnings():
    """Prints every warning of the package once, as a line on standard error.

    Example:

    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     show_warnings()
    """
    shown, others = set(), warnings.showwarning

    def show(message, category, *where, **options):
        if not issubclass(category, DataWarning):
            others(message, category, *where, **options)
        elif str(message) not in shown:
            shown.add(str(message))
            print(
                f"keras-combiner: warning: {' '.join(with_options(str(message)).split())}",
                file=sys.stderr,
            )

    warnings.showwarning = show
    warnings.simplefilter("always", DataWarning)


def one_line(error):
    """Returns the message of an error on one line.

    Args:
        error: Exception.

    Returns:
        str, or None for an error that the package does not raise on purpose.

    Example:

    >>> one_line(FileNotFoundError(2, "No such file or directory", "reviews.csv"))
    'reviews.csv: No such file or directory'
    >>> one_line(ValueError("reviews.csv:3: no column 'text'. Name it with text_field=..."))
    "reviews.csv:3: no column 'text'. Name it with --text-field"
    >>> one_line(KeyError("a bug"))
    """
    if _is_from_tensorflow(error):
        message = _without_graph(error.message)
    elif not isinstance(error, _EXPECTED):
        return None
    elif isinstance(error, OSError) and error.filename is not None and error.strerror:
        message = f"{error.filename}: {error.strerror}"
    else:
        message = str(error) or type(error).__name__
    return " ".join(with_options(message).split())


def with_options(message):
    """Names options of the command line in place of arguments of Python.

    Args:
        message: str.

    Returns:
        str.

    Example:

    >>> with_options("Name it with text_field=...")
    'Name it with --text-field'
    """
    for argument, option in _OPTIONS.items():
        message = message.replace(argument, option)
    return message


def _is_from_tensorflow(error):
    # Not imported for this: an error of TensorFlow can only come after its import.
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(error, tensorflow.errors.OpError)


def _without_graph(message):
    found = _IN_GENERATOR.search(message)
    if found:
        return found["message"]
    if "OOM when allocating" in message or "out of memory" in message.lower():
        return (
            "out of memory. Take a smaller --batch-size, or train with a smaller "
            f"--sequence-length. TensorFlow said: {message.splitlines()[0]}"
        )
    return message.splitlines()[0] if message else "TensorFlow failed without a message"
