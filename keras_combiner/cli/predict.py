"""`keras-combiner predict`: names the class of documents."""

import json
import sys
from pathlib import Path

from keras_combiner.cli import arguments as shared

STANDARD_INPUT = "-"

_MOST_LABELS = 3


def add_parser(subparsers):
    """Adds the subcommand to the command line."""
    parser = shared.add_command(
        subparsers,
        "predict",
        help="classify text files or standard input",
        description=(
            "Prints the class of every document, the three most probable classes, and whether the "
            "model could read all of it."
        ),
        example="""
            keras-combiner predict --model runs/a/model.keras document.txt - < other.txt
            keras-combiner predict --model runs/a/model.keras --json inbox/*.txt
        """,
    )
    shared.add_model(parser)
    parser.add_argument(
        "documents",
        nargs="*",
        metavar="DOCUMENT",
        help="a text file in UTF-8 (other bytes are replaced), or - for standard input",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a JSON object a line, with document, label, probabilities, tokens (how many "
        "the model read) and truncated (whether there were more)",
    )
    shared.add_batch_size(parser)
    parser.set_defaults(run=run)


def run(arguments):
    """Classifies, and returns the exit code."""
    names = arguments.documents
    if not names:
        raise ValueError("There is no document. Name text files, or - for standard input.")
    if names.count(STANDARD_INPUT) > 1:
        raise ValueError("Standard input (-) can be read once only.")
    shared.check_model(arguments.model)
    # All of them before the model: a misspelled name shows at once, not after a hundred results.
    texts = [_read(name) for name in names]
    classifier = shared.load_model(arguments.model)
    size = arguments.batch_size
    for start in range(0, len(names), size):
        results = classifier.classify(texts[start : start + size], batch_size=size)
        for name, result in zip(names[start : start + size], results, strict=True):
            if arguments.json:
                print(json.dumps({"document": name, **result}), flush=True)
            else:
                print(_readable(name, result), flush=True)
    return 0


def _read(name):
    """The text of a file or of standard input."""
    if name == STANDARD_INPUT:
        content = sys.stdin.buffer.read()
    elif Path(name).is_dir():
        raise IsADirectoryError(
            f"{name} is a directory. Name the files in it, as in {Path(name) / '*.txt'}."
        )
    else:
        content = Path(name).read_bytes()
    # Without a byte order mark and with "\n" for a line end, as readers of training data have it.
    text = content.decode("utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _readable(name, result):
    best = list(result["probabilities"].items())[:_MOST_LABELS]
    shown = ", ".join(f"{label} {probability:.3f}" for label, probability in best)
    line = f"{name}: {result['label']} ({shown})"
    if result["truncated"]:
        line += f"; cut: the model reads the first {result['tokens']:,} tokens only"
    return line
