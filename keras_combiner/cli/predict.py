"""`keras-combiner predict`: names the class of documents."""

import itertools
import json
import sys
import warnings
from pathlib import Path

from keras_combiner.cli import arguments as shared
from keras_combiner.cli.thresholds import add_threshold, threshold_of

STANDARD_INPUT = "-"


def add_parser(subparsers):
    """Adds the subcommand to the command line."""
    parser = shared.add_command(
        subparsers,
        "predict",
        help="classify text files or standard input",
        description=(
            "Prints the class of every document and the three most probable classes (or its "
            "labels, or its value), and whether the model could read all of it."
        ),
        example="""
            keras-combiner predict --model runs/a/model.keras document.txt - < other.txt
            keras-combiner predict --model runs/a/model.keras --json inbox/*.txt
            keras-combiner predict --model runs/a/model.keras --json --data 'inbox-*.jsonl.gz'
            keras-combiner predict --model runs/a/model.keras --threshold 0.8 document.txt
            keras-combiner predict --model runs/tags --threshold urgent=0.3 document.txt
        """,
    )
    shared.add_model(parser)
    parser.add_argument(
        "documents",
        nargs="*",
        metavar="DOCUMENT",
        help="a text file in UTF-8 (or as its byte order mark says), also as .gz or .zst; or - for "
        "standard input",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a JSON object a line, with document, label (null below a threshold; or "
        "labels), probabilities (or value), tokens (how many the model read) and truncated "
        "(whether there were more)",
    )
    parser.add_argument(
        "--data",
        metavar="PATH",
        help=f"classify these documents, labelled or not, and number them from 1: {shared.FORMATS}",
    )
    parser.add_argument(
        "--text-field",
        default="text",
        metavar="NAME",
        help="field or column of --data that holds the text (default: %(default)s)",
    )
    add_threshold(parser)
    shared.add_batch_size(parser)
    parser.set_defaults(run=run)


def run(arguments):
    """Classifies, and returns the exit code."""
    names = arguments.documents
    if names and arguments.data:
        raise ValueError("Name text files or --data, not both.")
    if not names and not arguments.data:
        raise ValueError("There is no document. Name text files, - for standard input, or --data.")
    if names.count(STANDARD_INPUT) > 1:
        raise ValueError("Standard input (-) can be read once only.")
    shared.check_model(arguments.model)
    if arguments.data:
        documents = _documents(arguments)
    else:
        # All of them before the model: a misspelled name shows at once, not after a hundred.
        documents = iter([(name, _read(name)) for name in names])
    classifier = shared.load_model(arguments.model)
    options = {
        "threshold": threshold_of(arguments, classifier.task, classifier.labels),
        "batch_size": arguments.batch_size,
    }
    while some := list(itertools.islice(documents, arguments.batch_size)):
        results = _classified(classifier, some, **options)
        for (name, _), result in zip(some, results, strict=True):
            if arguments.json:
                print(json.dumps({"document": name, **result}), flush=True)
            else:
                print(_readable(name, result, classifier.task), flush=True)
    return 0


def _classified(classifier, some, **options):
    """What `classify` returns for pairs of name and text; warnings and errors have the names."""
    from keras_combiner.models.not_finite_error import NotFiniteError
    from keras_combiner.text.unknown_tokens import UnknownTokensWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            results = classifier.classify([text for _, text in some], **options)
        except NotFiniteError as error:
            raise NotFiniteError(error.document, some[error.document][0]) from None
    for each in caught:
        message = each.message
        if isinstance(message, UnknownTokensWarning) and message.documents:
            names = ", ".join(some[i][0] for i in message.documents)
            message = UnknownTokensWarning(f"{names}: {message}")
        warnings.warn_explicit(message, each.category, each.filename, each.lineno)
    return results


def _documents(arguments):
    """An iterator of names and texts of --data."""
    from keras_combiner.datasets import read_documents

    reader = read_documents(arguments.data, text_field=arguments.text_field, with_labels=False)
    return ((f"{arguments.data}:{i}", text) for i, text in enumerate(reader.texts(), start=1))


def _read(name):
    """The text of a file or of standard input, read as the files of training data are."""
    from keras_combiner.datasets.readers import record_reader
    from keras_combiner.datasets.text_encoding import decoded_text
    from keras_combiner.datasets.text_lines import decoded_file

    if name == STANDARD_INPUT:
        return decoded_text(sys.stdin.buffer.read(), "standard input")
    path = Path(name)
    if path.is_dir():
        raise IsADirectoryError(
            f"{name} is a directory. Name the files in it, as in {path / '*.txt'}."
        )
    if record_reader(path, {}) is not None:
        raise ValueError(
            f"{name}: by its ending a file of records, and not one document. Classify its records "
            f"with --data {name}."
        )
    return decoded_file(path)


def _readable(name, result, task):
    line = f"{name}: {task.sentence(result)}"
    if result["truncated"]:
        line += f"; truncated: the model reads the first {result['tokens']:,} tokens only"
    return line
