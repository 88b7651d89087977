"""`keras-combiner train`: documents and their classes in, a model and a report out."""

import json
import os
import shlex
import sys
import time
from pathlib import Path

from keras_combiner.cli import arguments as shared
from keras_combiner.cli.companions import (
    VOCABULARY_FILE,
    check_labels,
    companion_texts,
    written_together,
)
from keras_combiner.cli.label_counts import check_known, count_labels, describe, documents_in

# Spelled out, since the modules that define them import Keras; the tests compare.
SIZES = ("tiny", "small", "base")
SUMMARIES = ("max", "mean", "deepset", "variational")

REPORT_FILE = "report.json"


def add_parser(subparsers):
    """Adds the subcommand to the command line."""
    parser = shared.add_command(
        subparsers,
        "train",
        help="train a classifier on your documents",
        description=(
            "Trains a classifier of whole documents and writes model.keras, labels.txt, vocab.txt "
            "(for word pieces) and report.json into a directory."
        ),
        example="""
            keras-combiner train --data reviews.jsonl --output runs/a
            keras-combiner train --data reviews.csv --text-field review --label-field stars \\
                --sequence-length 2048 --epochs 4 --output runs/b
        """,
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="PATH",
        help="documents with a label each: .jsonl or .ndjson (an object a line), .csv or .tsv (the "
        "first line names the columns), or a directory with a folder of .txt files a class",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="directory to write to; refused if it holds a model.keras, unless --overwrite",
    )
    validation = parser.add_mutually_exclusive_group()
    validation.add_argument(
        "--validation-data",
        metavar="PATH",
        help="documents to validate on after each epoch, in the form of --data",
    )
    validation.add_argument(
        "--validation-split",
        type=shared.fraction,
        default=0.1,
        metavar="SHARE",
        help="share of --data to hold out for validation, from 0 (none) to below 1; always the "
        "same documents, whatever the --seed (default: %(default)s)",
    )
    shared.add_data_fields(parser)
    model = parser.add_argument_group("model")
    model.add_argument(
        "--size",
        choices=SIZES,
        default="tiny",
        help="tiny: 2 layers of width 96; small: 4 of 256; base: 12 of 768 (default: %(default)s)",
    )
    model.add_argument(
        "--sequence-length",
        type=shared.integer(3),
        default=4096,
        metavar="TOKENS",
        help="longest document, in tokens; longer ones are cut (default: %(default)s)",
    )
    model.add_argument(
        "--tokenizer",
        choices=("wordpiece", "bytes"),
        default="wordpiece",
        help="word pieces learned from the documents, or bytes (default: %(default)s)",
    )
    model.add_argument(
        "--vocabulary-size",
        type=shared.integer(1),
        default=8000,
        metavar="N",
        help="most word pieces to learn; not used for bytes (default: %(default)s)",
    )
    model.add_argument(
        "--block-size",
        type=shared.integer(1),
        default=64,
        metavar="TOKENS",
        help="tokens that attend to each other directly (default: %(default)s)",
    )
    model.add_argument(
        "--summary",
        choices=SUMMARIES,
        default="variational",
        help="how a block is summed up for tokens far from it (default: %(default)s)",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--epochs",
        type=shared.integer(1),
        default=8,
        metavar="N",
        help="passes over the documents (default: %(default)s)",
    )
    shared.add_batch_size(training)
    training.add_argument(
        "--seed",
        type=shared.integer(0),
        default=0,
        metavar="N",
        help="of the weights, the dropout and the order of documents (default: %(default)s)",
    )
    shared.add_overwrite(parser, "the model in --output")
    parser.set_defaults(run=run)


def run(arguments):
    """Trains, and returns the exit code."""
    output = Path(arguments.output)
    model_file = output / shared.MODEL_FILE
    if model_file.exists() and not arguments.overwrite:
        raise FileExistsError(
            f"{model_file} exists. Choose another --output, or replace it with --overwrite."
        )
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"{output} is a file. --output is a directory to write to.")
    # All that can be wrong with the data shows before anything slow begins.
    training, counts, validation, validation_counts = _read(arguments)
    output.mkdir(parents=True, exist_ok=True)
    if not os.access(output, os.W_OK):
        raise PermissionError(f"{output} cannot be written to. Choose another --output.")

    import keras

    from keras_combiner.models import LongDocumentClassifier
    from keras_combiner.whole_files import written_whole

    keras.utils.set_random_seed(arguments.seed)
    classifier = LongDocumentClassifier.from_texts(
        training.texts(),
        # Of all documents: a class may have come to lie in the validation part alone.
        list(counts),
        sequence_length=arguments.sequence_length,
        size=arguments.size,
        vocabulary_size=arguments.vocabulary_size,
        tokenizer=arguments.tokenizer,
        block_size=arguments.block_size,
        summary=arguments.summary,
    )
    print(
        f"Training a {arguments.size} model, {classifier.count_params():,} parameters, on "
        f"documents of up to {classifier.sequence_length:,} tokens.",
        flush=True,
    )
    start = time.perf_counter()
    history = classifier.fit(
        training,
        validation_data=validation,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        # The bar redraws itself on a terminal; in a log it would be a line a step.
        verbose=1 if sys.stdout.isatty() else 2,
    ).history
    seconds = time.perf_counter() - start

    metrics = {name: values[-1] for name, values in history.items() if values}
    report = {
        "arguments": _recorded(arguments),
        "documents": {"all": counts, "validation": validation_counts},
        "parameters": classifier.count_params(),
        "training_seconds": seconds,
        "history": history,
        "metrics": metrics,
        "versions": _versions(),
    }
    texts = companion_texts(classifier)
    texts[REPORT_FILE] = json.dumps(report, indent=2, default=float) + "\n"
    # The model gets its name last: where there is one, the other files are its own.
    with (
        written_whole(model_file, overwrite=arguments.overwrite) as unfinished,
        written_together(output, texts),
    ):
        classifier.save(unfinished)
    if VOCABULARY_FILE not in texts:
        # An earlier model's, which this one has replaced.
        (output / VOCABULARY_FILE).unlink(missing_ok=True)
    _print_metrics(metrics, validation_counts)
    print(f"Wrote {model_file}, {', '.join(texts)} in {output} after {seconds:.0f} s of training.")
    _print_next(arguments)
    return 0


def _read(arguments):
    """Opens and counts the documents, and says what they are.

    Returns `(training, counts, validation, validation_counts)`: readers and counts of labels, the
    first counts being those of all of --data; the last two are None without validation.
    """
    from keras_combiner.datasets import read_documents

    fields = {"text_field": arguments.text_field, "label_field": arguments.label_field}
    documents = read_documents(arguments.data, **fields)
    validation = None
    if arguments.validation_data:
        validation = read_documents(arguments.validation_data, **fields)
    print(f"Reading {arguments.data} ...", flush=True)
    counts = count_labels(documents)
    if len(counts) < 2:
        raise ValueError(
            f"{arguments.data}: every document has the label {next(iter(counts))!r}. A classifier "
            "needs two or more classes; --label-field names the field that tells them apart."
        )
    check_labels(counts)
    print(f"{documents_in(counts)}, {len(counts)} classes: {describe(counts)}")
    if validation is not None:
        validation_counts = count_labels(validation)
        check_known(validation_counts, list(counts), arguments.validation_data, arguments.data)
        training, training_counts = documents, counts
        source = arguments.validation_data
    elif arguments.validation_split:
        training, validation = documents.split(arguments.validation_split)
        validation_counts = count_labels(validation)
        if not validation_counts:
            raise ValueError(
                f"A --validation-split of {arguments.validation_split} leaves no document of "
                f"{counts.total()} for validation. Give more, or 0 to train without."
            )
        training_counts = counts - validation_counts
        source = "held out"
    else:
        print("Validation: none")
        return documents, counts, None, None
    print(
        f"Validation: {documents_in(validation_counts)} ({source}): {describe(validation_counts)}"
    )
    if not training_counts:
        raise ValueError(
            f"A --validation-split of {arguments.validation_split} leaves no document to train on."
        )
    unseen = {label: 0 for label in counts if label not in training_counts}
    if unseen:
        print(f"Note: all documents of these classes are held out: {', '.join(unseen)}")
    return training, counts, validation, validation_counts


def _print_metrics(metrics, validation_counts):
    if validation_counts is None:
        print(
            f"Training accuracy {metrics['accuracy']:.3f}, loss {metrics['loss']:.3f} "
            "(no validation)"
        )
        return
    label, most = validation_counts.most_common(1)[0]
    print(
        f"Validation accuracy {metrics['val_accuracy']:.3f}, loss {metrics['val_loss']:.3f} on "
        f"{documents_in(validation_counts)} "
        f"(always saying {label!r}: {most / validation_counts.total():.3f})"
    )


def _print_next(arguments):
    output = Path(arguments.output)
    fields = ""
    for option, name, default in (
        ("--text-field", arguments.text_field, "text"),
        ("--label-field", arguments.label_field, "label"),
    ):
        if name != default:
            fields += f" {option} {shlex.quote(name)}"
    model, saved_model, litert = (
        shlex.quote(str(path))
        for path in (output, output / "saved_model" / "1", output / "litert" / "model.tflite")
    )
    print(
        "\nNext:\n"
        f"  keras-combiner evaluate --model {model} --data TEST_DATA{fields}\n"
        f"  keras-combiner predict --model {model} DOCUMENT.txt\n"
        f"  keras-combiner export --model {model} --saved-model {saved_model} --litert {litert}"
    )


def _recorded(arguments):
    """The options as a dictionary that JSON can hold."""
    internal = ("run", "command", "debug")
    return {name: value for name, value in vars(arguments).items() if name not in internal}


def _versions():
    import platform

    import keras
    import tensorflow as tf

    from keras_combiner.version import __version__

    return {
        "keras_combiner": __version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "python": platform.python_version(),
    }
