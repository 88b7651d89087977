"""`keras-combiner pretrain`: texts without labels in, weights for `train --pretrained` out."""

import argparse
import math
import shlex

from keras_combiner.cli import arguments as shared
from keras_combiner.cli import training_arguments
from keras_combiner.cli.label_counts import documents_in
from keras_combiner.cli.sidecar_files import VOCABULARY_FILE, sidecar_texts
from keras_combiner.cli.training_run import HISTORY_PLOT, TrainingRun, plot_history, recorded

# Short windows make many steps of a small corpus, and a model needs many before it learns more than
# how common words are. `train --pretrained` reads longer documents.
SEQUENCE_LENGTH = 512
_MOST = 700.0  # about the largest loss whose exponential, the perplexity, a float can hold


def masked_share(string):
    """An argparse type: a share above 0 and below 1."""
    try:
        value = float(string)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and below 1, not {string!r}")
    return value


def add_parser(subparsers):
    """Adds the subcommand to the command line."""
    parser = shared.add_command(
        subparsers,
        "pretrain",
        help="learn from your documents without labels, for train to start from",
        description=(
            "Trains a masked language model on documents without labels: it hides whole words, and "
            "learns to predict them. Writes model.keras, vocab.txt (for word pieces), report.json, "
            "a plot, logs for TensorBoard and checkpoints into a directory, from which train "
            "--pretrained starts. A training that was stopped, by whatever cause, goes on with "
            "--resume."
        ),
        example="""
            keras-combiner pretrain --data contracts/ --output runs/pretrained
            keras-combiner pretrain --data 'shards-*.jsonl.gz' --text-field body --size small \\
                --sequence-length 1024 --epochs 20 --output runs/pretrained
            keras-combiner train --data labelled.jsonl --pretrained runs/pretrained --output runs/a
        """,
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="PATH",
        help="a directory, of which every file is a document; a text file; .jsonl, .ndjson, .csv "
        "or .tsv (each also with .gz or .zst), .parquet or .tfrecord, whose labels are not looked "
        "at; or a quoted pattern of files",
    )
    training_arguments.add_output(parser)
    training_arguments.add_validation(parser)
    shared.add_text_field(parser)
    training_arguments.add_model(
        parser.add_argument_group("model"),
        long_texts="windows",
        long_texts_help="how longer documents are read: in consecutive windows, which cover all of "
        "the text; or truncated, their first tokens alone",
        sequence_length=SEQUENCE_LENGTH,
    )
    training = parser.add_argument_group("training")
    training_arguments.add_epochs(training)
    training.add_argument(
        "--masked-share",
        type=masked_share,
        default=0.15,
        metavar="SHARE",
        help="share of the words of a document to be predicted (default: %(default)s)",
    )
    training_arguments.add_course(training)
    shared.add_overwrite(parser, "the model and the checkpoints in --output")
    parser.set_defaults(run=run)


def run(arguments):
    """Pretrains, and returns the exit code."""
    training_arguments.settle(arguments)
    with TrainingRun(arguments) as training_run:
        return _train(training_run, arguments)


def _train(training_run, arguments):
    if training_run.is_done():
        return 0
    # Errors in the data are raised before anything slow begins.
    training, validation, counts = _read(arguments)
    training_run.make_output()

    from keras_combiner.models import CombinerMaskedLM

    result = training_run.train(
        CombinerMaskedLM, lambda: _untrained(training, arguments), training, validation
    )
    # Of the hidden word pieces: how many equally probable ones would have the same loss.
    loss = result.metrics["loss" if validation is None else "val_loss"]
    metrics = {**result.metrics, "perplexity": math.exp(min(loss, _MOST))}
    names = training_run.write(
        result.model,
        sidecar_texts(result.model),
        {**result.report(recorded(arguments), counts), "metrics": metrics},
        plot_history(training_run.output, result.history),
        earlier={VOCABULARY_FILE, HISTORY_PLOT},
    )
    _print_metrics(metrics, counts)
    training_run.print_written(names, result.seconds)
    print(
        "\nNext:\n  keras-combiner train --data LABELLED_DATA --pretrained "
        f"{shlex.quote(str(training_run.output))} --output DIR"
    )
    return 0


def _untrained(training, arguments):
    from keras_combiner.models import CombinerMaskedLM

    kind = {"masked_share": arguments.masked_share, "long_texts": arguments.long_texts}
    if arguments.pretrained:
        return CombinerMaskedLM.from_pretrained(
            arguments.pretrained, **kind, **training_arguments.pretrained_options(arguments)
        )
    model = CombinerMaskedLM.from_texts(
        training.texts(), **kind, **training_arguments.untrained_options(arguments)
    )
    model.learning_rate = arguments.learning_rate
    return model


def _read(arguments):
    """Opens and counts the documents, and says how many there are.

    Returns `(training, validation, counts)`: readers, the second None without validation; and a
    dict, how many documents there are "all" in all and for "validation".
    """
    from keras_combiner.datasets import read_texts

    documents = read_texts(arguments.data, arguments.text_field)
    held_out = None
    if arguments.validation_data:
        held_out = read_texts(arguments.validation_data, arguments.text_field)
    print(f"Reading {arguments.data} ...", flush=True)
    num_documents, num_empty = _count(documents)
    empty = f", {num_empty:,} of them empty" if num_empty else ""
    print(f"{documents_in(num_documents)}{empty}")
    if num_empty == num_documents:
        raise ValueError(f"{arguments.data}: there is no text in it.")
    counts = {"all": num_documents, "empty": num_empty, "validation": None}
    if held_out is not None:
        training, source = documents, arguments.validation_data
    elif num_documents == 1:
        print("Validation: none, of a single document")
        return documents, None, counts
    elif arguments.validation_split:
        training, held_out = documents.split(arguments.validation_split)
        source = "held out"
    else:
        print("Validation: none")
        return documents, None, counts
    counts["validation"], num_empty = _count(held_out)
    if counts["validation"] == num_empty:
        raise ValueError(
            f"There is no text to validate on ({source}). Give more documents, or 0 for "
            "--validation-split to train without."
        )
    print(f"Validation: {documents_in(counts['validation'])} ({source})")
    if training is not documents and not any(x.strip() for x in training.texts()):
        raise ValueError(
            f"A --validation-split of {arguments.validation_split} leaves no text to train on."
        )
    return training, held_out, counts


def _count(reader):
    """How many documents there are, and how many without text; reads all of them."""
    num_documents = num_empty = 0
    for text in reader.texts():
        num_documents += 1
        num_empty += not text.strip()
    return num_documents, num_empty


def _print_metrics(metrics, counts):
    prefix = "" if counts["validation"] is None else "val_"
    shown = (
        f"accuracy on hidden word pieces {metrics[prefix + 'accuracy']:.3f}, "
        f"loss {metrics[prefix + 'loss']:.3f}, perplexity {metrics['perplexity']:,.1f}"
    )
    if counts["validation"] is None:
        print(f"Training {shown} (no validation)")
    else:
        print(f"Validation {shown} on {documents_in(counts['validation'])}")
