"""`keras-combiner train`: documents and their classes in, a model and a report out."""

import json
import os
import shlex
import sys
import time
from pathlib import Path

from keras_combiner.cli import arguments as shared
from keras_combiner.cli.companions import (
    LABELS_FILE,
    VOCABULARY_FILE,
    check_labels,
    companion_texts,
    written_together,
)
from keras_combiner.cli.label_counts import documents_in
from keras_combiner.cli.target_summary import TargetSummary

# Spelled out, since the modules that define them import Keras; the tests compare.
SIZES = ("tiny", "small", "base")
SUMMARIES = ("max", "mean", "deepset", "variational")
LONG = ("cut", "windows")

REPORT_FILE = "report.json"


def add_parser(subparsers):
    """Adds the subcommand to the command line."""
    parser = shared.add_command(
        subparsers,
        "train",
        help="train a classifier on your documents",
        description=(
            "Trains a classifier of whole documents and writes model.keras, labels.txt, vocab.txt "
            "(for word pieces) and report.json into a directory. Documents have one label each, or "
            "a list of labels, or a number to be predicted."
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
        help=f"documents with a label each: {shared.FORMATS}",
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
        help="longest document, in tokens; see --long (default: %(default)s)",
    )
    model.add_argument(
        "--long",
        choices=LONG,
        default="cut",
        help="what becomes of longer documents: cut; or windows, which overlap, and whose answers "
        "are averaged (default: %(default)s)",
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
    training.add_argument(
        "--class-weight",
        choices=("balanced",),
        help="balanced: every class weighs as much as any other, however few documents it has "
        "(default: every document weighs the same)",
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
        _labels_to_learn(training, counts),
        sequence_length=arguments.sequence_length,
        size=arguments.size,
        vocabulary_size=arguments.vocabulary_size,
        tokenizer=arguments.tokenizer,
        block_size=arguments.block_size,
        summary=arguments.summary,
        task=counts.task,
        long=arguments.long,
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
        class_weight=arguments.class_weight,
        seed=arguments.seed,
        # The bar redraws itself on a terminal; in a log it would be a line a step.
        verbose=1 if sys.stdout.isatty() else 2,
    ).history
    seconds = time.perf_counter() - start

    metrics = {name: values[-1] for name, values in history.items() if values}
    report = {
        "arguments": _recorded(arguments),
        "documents": {
            "all": counts.as_json(),
            "validation": validation_counts and validation_counts.as_json(),
        },
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
    for name in {VOCABULARY_FILE, LABELS_FILE} - set(texts):
        # An earlier model's, which this one has replaced.
        (output / name).unlink(missing_ok=True)
    _print_metrics(metrics, validation_counts, classifier.task.headline)
    print(f"Wrote {model_file}, {', '.join(texts)} in {output} after {seconds:.0f} s of training.")
    _print_next(arguments)
    return 0


def _read(arguments):
    """Opens and counts the documents, and says what they are.

    Returns `(training, counts, validation, validation_counts)`: readers and `TargetSummary`s, the
    first being that of all of --data; the last two are None without validation.
    """
    from keras_combiner.datasets import read_documents

    documents = read_documents(arguments.data, **shared.data_options(arguments))
    validation = None
    if arguments.validation_data:
        validation = read_documents(arguments.validation_data, **shared.data_options(arguments))
    print(f"Reading {arguments.data} ...", flush=True)
    counts = TargetSummary.of(documents)
    _check_targets(counts, arguments)
    classes = f"{len(counts.labels)} classes: " if counts.task == "single_label" else ""
    print(f"{documents_in(counts.documents)}, {classes}{counts}")
    if validation is not None:
        validation_counts = TargetSummary.of(validation)
        if validation_counts.task != counts.task:
            raise ValueError(
                f"{arguments.validation_data}: its targets are those of a task "
                f"{validation_counts.task!r}, those of {arguments.data} of {counts.task!r}."
            )
        validation_counts.check_known(
            list(counts.labels), arguments.validation_data, arguments.data
        )
        training, in_training = documents, counts.documents
        unseen = {}
        source = arguments.validation_data
    elif arguments.validation_split:
        training, validation = documents.split(arguments.validation_split)
        validation_counts = TargetSummary.of(validation)
        if not validation_counts.documents:
            raise ValueError(
                f"A --validation-split of {arguments.validation_split} leaves no document of "
                f"{counts.documents} for validation. Give more, or 0 to train without."
            )
        in_training = counts.documents - validation_counts.documents
        unseen = set(counts.labels) - set(counts.without(validation_counts))
        source = "held out"
    else:
        print("Validation: none")
        return documents, counts, None, None
    print(
        f"Validation: {documents_in(validation_counts.documents)} ({source}): {validation_counts}"
    )
    if not in_training:
        raise ValueError(
            f"A --validation-split of {arguments.validation_split} leaves no document to train on."
        )
    if unseen:
        print(f"Note: all documents of these classes are held out: {', '.join(sorted(unseen))}")
    return training, counts, validation, validation_counts


def _check_targets(counts, arguments):
    """Refuses what nothing can be learned from."""
    if counts.task == "single_label" and len(counts.labels) < 2:
        raise ValueError(
            f"{arguments.data}: every document has the label {next(iter(counts.labels))!r}. A "
            "classifier needs two or more classes; --label-field names the field that tells them "
            "apart."
        )
    if counts.task == "multi_label" and not counts.labels:
        raise ValueError(f"{arguments.data}: no document has any label.")
    if arguments.class_weight and counts.task != "single_label":
        raise ValueError(
            f"--class-weight is for documents of one label each. {arguments.data} is for the task "
            f"{counts.task!r}."
        )
    check_labels(counts.labels)


def _labels_to_learn(training, counts):
    """What `from_texts` learns the outputs from."""
    # Of all documents: a class may have come to lie in the validation part alone.
    if counts.task == "single_label":
        return list(counts.labels)
    return [tuple(counts.labels)] if counts.task == "multi_label" else training.labels()


def _print_metrics(metrics, validation_counts, headline):
    name, prefix = headline.replace("_", " "), "" if validation_counts is None else "val_"
    shown = f"{name} {metrics[prefix + headline]:.3f}, loss {metrics[prefix + 'loss']:.3f}"
    if validation_counts is None:
        print(f"Training {shown} (no validation)")
        return
    shown += f" on {documents_in(validation_counts.documents)}"
    if validation_counts.task == "single_label":
        label, most = validation_counts.labels.most_common(1)[0]
        shown += f" (always saying {label!r}: {most / validation_counts.documents:.3f})"
    print(f"Validation {shown}")


def _print_next(arguments):
    output = Path(arguments.output)
    fields = ""
    for option, name, default in (
        ("--text-field", arguments.text_field, "text"),
        ("--label-field", arguments.label_field, None),
        ("--task", arguments.task, None),
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
