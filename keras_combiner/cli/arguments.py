"""Arguments that several subcommands share, and checks that need no TensorFlow."""

import argparse
import textwrap
import zipfile
from pathlib import Path

MODEL_FILE = "model.keras"
FORMATS = (
    ".jsonl, .ndjson, .csv or .tsv (each also with .gz or .zst), .parquet, .tfrecord, a directory "
    "with a folder of .txt files a class, or a quoted pattern of files such as 'shards-*.jsonl.gz'"
)

# Spelled out, since the module that defines them imports Keras; the tests compare.
TASKS = ("single_label", "multi_label", "regression")


def integer(minimum):
    """Makes an argparse type: an int of at least `minimum`.

    Args:
        minimum: int.

    Returns:
        A function of str that returns an int.

    Example:

    >>> integer(1)("16")
    16
    """

    def parse(string):
        try:
            value = int(string)
        except ValueError:
            value = None
        if value is None or value < minimum:
            raise argparse.ArgumentTypeError(f"expected an integer >= {minimum}, not {string!r}")
        return value

    return parse


def fraction(string):
    """An argparse type: a share of at least 0 and less than 1.

    Args:
        string: str.

    Returns:
        float.

    Example:

    >>> fraction("0.1")
    0.1
    """
    try:
        value = float(string)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:  # also refuses nan
        raise argparse.ArgumentTypeError(f"expected a number from 0 to below 1, not {string!r}")
    return value


def probability(string):
    """An argparse type: a number between 0 and 1, both excluded.

    Args:
        string: str.

    Returns:
        float.

    Example:

    >>> probability("0.8")
    0.8
    """
    try:
        value = float(string)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:  # also refuses nan
        raise argparse.ArgumentTypeError(
            f"expected a number between 0 and 1, both excluded, not {string!r}"
        )
    return value


def add_command(subparsers, name, help, description, example):
    """Adds a subcommand in the shape that all of them have.

    Args:
        subparsers: what `argparse.ArgumentParser.add_subparsers` returned.
        name: str, the subcommand.
        help: str, its line in the list of commands.
        description: str, what its own help says first.
        example: str, commands to show, one a line.

    Returns:
        `argparse.ArgumentParser`.
    """
    example = textwrap.indent(textwrap.dedent(example).strip("\n").rstrip(), "  ")
    return subparsers.add_parser(
        name,
        help=help,
        description=textwrap.fill(description, 80),
        epilog=f"example:\n{example}",
        # Keeps the lines of the example apart.
        formatter_class=argparse.RawDescriptionHelpFormatter,
        # An abbreviation that works today is ambiguous after the next option.
        allow_abbrev=False,
    )


def add_text_field(parser):
    """Adds --text-field."""
    parser.add_argument(
        "--text-field",
        default="text",
        metavar="NAME",
        help="field or column that holds the text; not used for a directory (default: %(default)s)",
    )


def add_data_fields(parser):
    """Adds --text-field, --label-field and --task."""
    add_text_field(parser)
    parser.add_argument(
        "--label-field",
        metavar="NAME",
        help="field or column that holds the target; not used for a directory (default: label, or "
        "labels for a list of them, or target for a number, whichever the first record has)",
    )
    parser.add_argument(
        "--task",
        choices=TASKS,
        help="what the --label-field is: one label, a list of labels (in a .csv with | between "
        "them), or a number (default: told by the first record's fields)",
    )


def add_weight_field(parser, what, default):
    """Adds --weight-field.

    Args:
        parser: `argparse.ArgumentParser`.
        what: str, what stands in the field.
        default: str, what is done without it.
    """
    parser.add_argument(
        "--weight-field",
        metavar="NAME",
        help=f"field or column with {what}; not for a directory (default: {default})",
    )


def data_options(arguments, task=None):
    """Returns what `add_data_fields` added as keyword arguments of `read_documents`.

    Args:
        arguments: `argparse.Namespace`.
        task: str, the task if --task says nothing.

    Returns:
        dict.
    """
    return {
        "text_field": arguments.text_field,
        "label_field": arguments.label_field,
        "task": arguments.task or task,
    }


def add_model(parser):
    """Adds --model."""
    parser.add_argument(
        "--model",
        required=True,
        metavar="PATH",
        help=f"a .keras file that train wrote, or a directory that holds a {MODEL_FILE}",
    )


def add_batch_size(parser):
    """Adds --batch-size."""
    parser.add_argument(
        "--batch-size",
        type=integer(1),
        default=16,
        metavar="N",
        help="documents a step; fewer need less memory (default: %(default)s)",
    )


def add_overwrite(parser, what):
    """Adds --overwrite.

    Args:
        parser: `argparse.ArgumentParser`.
        what: str, what may be replaced.
    """
    parser.add_argument("--overwrite", action="store_true", help=f"replace {what}")


def check_model(path):
    """Refuses a --model that does not exist, before the seconds that importing TensorFlow takes.

    Args:
        path: str, the argument.

    Raises:
        FileNotFoundError: if there is no such file, or the directory holds no model.
        ValueError: if the file is not a .keras file.
    """
    path = Path(path)
    if path.is_dir():
        path = path / MODEL_FILE
        if not path.is_file():
            raise FileNotFoundError(
                f"{path.parent} holds no {MODEL_FILE}. Name a .keras file that train wrote."
            )
    elif not path.is_file():
        raise FileNotFoundError(
            f"There is no model at {path}. Name a .keras file that train wrote, or its directory."
        )
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a .keras file. Name one that train wrote.")


def load_model(path, *names):
    """Loads a --model.

    Args:
        path: str, the argument.
        *names: str, the classes of `keras_combiner.models` that it may be of;
            "LongDocumentClassifier" if none is named.

    Returns:
        A model of one of these classes.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file is not such a model.
    """
    check_model(path)
    from keras_combiner import models
    from keras_combiner.models.text_training import load_one_of

    classes = tuple(getattr(models, x) for x in names or ("LongDocumentClassifier",))
    try:
        return load_one_of(path, classes)
    except TypeError as error:
        # How Keras says that it cannot make a model of a config, and then prints the config.
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} cannot be loaded as a model of this package: {reason}") from error
