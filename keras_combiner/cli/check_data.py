"""`keras-combiner check-data`: what is in the files, before anything is learned from them."""

import importlib.util
import json
import textwrap
import warnings
from pathlib import Path

from keras_combiner.cli import arguments as shared
from keras_combiner.cli.errors import with_options
from keras_combiner.cli.label_counts import describe, documents_in
from keras_combiner.cli.reading_progress import ReadingProgress
from keras_combiner.data_warning import DataWarning

ERROR = 2  # the exit code of an error: 1 says that the data are not fit to train on
FOUND = 1
WORDS = "words"
_SEQUENCE_LENGTH = 4096  # of `train`
_VOCABULARY_SIZE = 8000
# What a vocabulary is learned from: enough for a share, and a matter of seconds.
_VOCABULARY_CHARACTERS = 2 * 10**7
_WIDTH = 100


def add_parser(subparsers):
    """Adds the subcommand to the command line."""
    parser = shared.add_command(
        subparsers,
        "check-data",
        help="look at your documents before you train",
        description=(
            "Says what is in files of documents: classes and names that are nearly the same, texts "
            "that are there twice, also across files, records that cannot be read, lengths, "
            "weights, unknown tokens and damaged text. The exit code is 1 if there is something "
            "that a training should not start with, and 2 if nothing can be read."
        ),
        example="""
            keras-combiner check-data reviews.jsonl
            keras-combiner check-data train.csv --validation-data dev.csv --test-data test.csv \\
                --label-field stars --sequence-length 2048 --json check.json
        """,
    )
    parser.add_argument("data", metavar="PATH", help=f"documents to learn from: {shared.FORMATS}")
    for name, what in (("validation", "validate"), ("test", "test")):
        parser.add_argument(
            f"--{name}-data",
            metavar="PATH",
            help=f"documents to {what} on, as PATH (default: none)",
        )
    shared.add_data_fields(parser)
    shared.add_weight_field(
        parser,
        "a number, as train --weight-field takes it; all of the files must have it",
        "weights are not read",
    )
    parser.add_argument(
        "--sequence-length",
        type=shared.integer(3),
        metavar="TOKENS",
        help=f"longest document that is read whole (default: {_SEQUENCE_LENGTH}; with --model, its "
        "own)",
    )
    parser.add_argument(
        "--model",
        metavar="PATH",
        help=f"count tokens as this model does: a .keras file, or a directory that holds a "
        f"{shared.MODEL_FILE}",
    )
    parser.add_argument(
        "--tokenizer",
        choices=("wordpiece", "bytes", WORDS),
        help="count word pieces, of a vocabulary that is learned from PATH; or bytes; or words, "
        "which is fast (default: wordpiece; words without tensorflow-text)",
    )
    parser.add_argument(
        "--json", metavar="FILE", help="also write the figures to FILE, replacing it (default: no)"
    )
    parser.set_defaults(run=run)


def run(arguments):
    """Looks at the data, and returns the exit code."""
    if arguments.model and arguments.tokenizer:
        raise ValueError("Give --model or --tokenizer, not both: a model has a tokenizer.")
    if arguments.json and Path(arguments.json).is_dir():
        raise IsADirectoryError(f"{arguments.json} is a directory. Name a file for --json.")
    if arguments.model:
        shared.check_model(arguments.model)

    from keras_combiner.datasets import check_data
    from keras_combiner.datasets.data_check import reader_to_check

    options = {**shared.data_options(arguments), "weight_field": arguments.weight_field}
    paths = {
        "data": arguments.data,
        "validation_data": arguments.validation_data,
        "test_data": arguments.test_data,
    }
    readers = [reader_to_check(path, **options) for path in paths.values() if path]
    print(f"Reading {arguments.data} ...", flush=True)
    counts = [_count(reader) for reader in readers]
    # Where a file has no document, the error is said without loading TensorFlow.
    can_count = all(documents for _, documents in counts)
    count_tokens, length = _token_counter(arguments, readers[0]) if can_count else (None, None)
    progress = ReadingProgress(sum(records for records, _ in counts))
    check = check_data(
        **paths,
        **options,
        sequence_length=length,
        count_tokens=count_tokens,
        progress=progress,
    )
    progress.close()
    print(page(check))
    if arguments.json:
        from keras_combiner.atomic_files import atomic_write

        with atomic_write(arguments.json, overwrite=True) as unfinished:
            text = json.dumps(check.as_json(), indent=2, ensure_ascii=False)
            unfinished.write_text(text + "\n", encoding="utf-8")
    return 0 if check.is_clean else FOUND


def page(check):
    """Writes what was found.

    Args:
        check: `keras_combiner.datasets.DataCheck`.

    Returns:
        str, of several lines.
    """
    lines = []
    for name, figures in check.splits.items():
        lines += [f"{name}: {figures.path}", *_split_lines(name, figures, check), ""]
    stops = [x for x in check.findings if x.stops]
    others = [x for x in check.findings if not x.stops]
    for title, findings in (
        ("A training should not start with:", stops),
        ("Worth a look:", others),
    ):
        if findings:
            lines += [title, *(line for x in findings for line in _finding_lines(x)), ""]
    if not stops:
        lines.append("Nothing that a training should not start with.")
    return "\n".join(lines).rstrip()


def _split_lines(name, figures, check):
    rows = [("documents", f"{figures.documents:,}")]
    if figures.labels:
        what = "labels" if figures.task == "multi_label" else "classes"
        rows.append((what, f"{len(figures.labels):,}: {describe(figures.labels)}"))
    if figures.target:
        least, mean, most = (f"{figures.target[x]:.6g}" for x in ("min", "mean", "max"))
        rows.append(("targets", f"from {least} to {most}, on average {mean}"))
    if figures.weights:
        rows.append(("weights", _weights(figures.weights)))
    lengths = figures.lengths
    rows.append(
        (
            check.unit,
            f"{lengths['total']:,}; a document from {lengths['min']:,} to {lengths['max']:,}, "
            f"half of them up to {lengths['median']:,.0f}, nine in ten up to {lengths['p90']:,.0f}",
        )
    )
    if figures.longer is not None:
        share = figures.longer / figures.documents
        longer = f"{documents_in(figures.longer)} ({share:.0%}) of more than "
        longer += f"{check.sequence_length:,} {check.unit}"
        rows.append(("longer", longer))
    if figures.unknown is not None:
        rows.append(("unknown", f"{figures.unknown:.2%} of the tokens"))
    duplicates = check.duplicates
    same, near = duplicates.within[name], duplicates.near_within[name]
    rows.append(("twice", f"{documents_in(same)}; nearly the same: {near:,}"))
    for (a, b), count in duplicates.across.items():
        if b == name:
            near = duplicates.near_across[a, b]
            rows.append((f"also in {a}", f"{documents_in(count)}; nearly the same: {near:,}"))
    width = max(len(title) for title, _ in rows) + 2
    return [
        line
        for title, text in rows
        for line in textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=f"  {title:<{width}}",
            subsequent_indent=" " * (width + 2),
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]


def _weights(weights):
    """The weights in a few words."""
    least, most, total = (f"{weights[x]:,.6g}" for x in ("min", "max", "total"))
    zeros = f", {weights['zeros']:,} of them 0" if weights["zeros"] else ""
    sums = describe(weights["labels"], ",.6g")
    return f"{weights['count']:,}, from {least} to {most}{zeros}; sum {total}" + (
        f": {sums}" if sums else ""
    )


def _finding_lines(finding):
    style = {"break_long_words": False, "break_on_hyphens": False}
    message = with_options(" ".join(finding.message.split()))
    yield from textwrap.wrap(message, _WIDTH, initial_indent="- ", subsequent_indent="  ", **style)
    for place in finding.places:
        yield f"    {with_options(' '.join(place.split()))}"


def _count(reader):
    """How many records there are, and how many of them can be read."""
    records = documents = 0
    for _, document in reader.located():
        records += 1
        documents += not isinstance(document, ValueError)
    return records, documents


def _token_counter(arguments, reader):
    """What counts tokens, None for words, and how many of them a model reads."""
    length = arguments.sequence_length or _SEQUENCE_LENGTH
    if arguments.model:
        model = shared.load_model(arguments.model)
        return _counter(model.tokenizer), arguments.sequence_length or model.sequence_length
    tokenizer = arguments.tokenizer
    if tokenizer is None:
        tokenizer = "wordpiece" if importlib.util.find_spec("tensorflow_text") else WORDS
    if tokenizer == WORDS:
        return None, length

    from keras_combiner.text import ByteTokenizer, WordPieceTokenizer, learn_wordpiece_vocabulary

    if tokenizer == "bytes":
        return _counter(ByteTokenizer()), length
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # unknown tokens are a finding here
            vocabulary = learn_wordpiece_vocabulary(
                _sample(reader), vocabulary_size=_VOCABULARY_SIZE, verbose=False
            )
    except ValueError:  # there are no words
        return None, length
    return _counter(WordPieceTokenizer(vocabulary)), length


def _sample(reader):
    """The texts to learn a vocabulary from."""
    characters = 0
    for _, document in reader.located():
        if isinstance(document, ValueError):
            continue
        yield document.text
        characters += len(document.text)
        if characters > _VOCABULARY_CHARACTERS:
            return


def _counter(tokenizer):
    import numpy as np

    unknown_token_id = getattr(tokenizer, "unknown_token_id", None)

    def count(texts):
        token_ids = tokenizer.encode(texts, None)
        ends = token_ids.row_splits.numpy()
        lengths = np.diff(ends)
        is_unknown = token_ids.values.numpy() == (
            -1 if unknown_token_id is None else unknown_token_id
        )
        # Every row has a token at least, the start.
        return lengths, lengths - 2, np.add.reduceat(is_unknown.astype(int), ends[:-1])

    return count
