"""`keras-combiner train`: documents and their classes in, a model and a report out."""

import json
import os
import shlex
import shutil
import time
from pathlib import Path

from keras_combiner.cli import arguments as shared
from keras_combiner.cli import strategy
from keras_combiner.cli.companions import (
    LABELS_FILE,
    VOCABULARY_FILE,
    check_labels,
    companion_texts,
    written_together,
)
from keras_combiner.cli.label_counts import documents_in
from keras_combiner.cli.target_summary import TargetSummary
from keras_combiner.cli.training_folder import TrainingFolder

# Spelled out, since the modules that define them import Keras; the tests compare.
SIZES = ("tiny", "small", "base")
SUMMARIES = ("max", "mean", "deepset", "variational")
LONG = ("cut", "windows")

REPORT_FILE = "report.json"
HISTORY_PLOT = "training.png"
CONFUSION_PLOT = "confusion.png"
LOGS = "logs"


def add_parser(subparsers):
    """Adds the subcommand to the command line."""
    parser = shared.add_command(
        subparsers,
        "train",
        help="train a classifier on your documents",
        description=(
            "Trains a classifier of whole documents and writes model.keras, labels.txt, vocab.txt "
            "(for word pieces), report.json, plots, logs for TensorBoard and checkpoints into a "
            "directory. Documents have one label each, or a list of labels, or a number to be "
            "predicted. A training that was stopped, however, goes on with --resume."
        ),
        example="""
            keras-combiner train --data reviews.jsonl --output runs/a
            keras-combiner train --data reviews.csv --text-field review --label-field stars \\
                --sequence-length 2048 --epochs 4 --output runs/b
            keras-combiner train --data reviews.jsonl --output runs/a --resume
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
    training.add_argument(
        "--patience",
        type=shared.integer(1),
        metavar="EPOCHS",
        help="stop when the loss on the validation documents (without them, the training loss) "
        "has not become smaller for so many epochs, and keep the model of the best epoch "
        "(default: train all --epochs, and keep the last)",
    )
    training.add_argument(
        "--accumulate",
        type=shared.integer(1),
        default=1,
        metavar="STEPS",
        help="average the gradients of so many steps for each change of the weights: the effect "
        "of a batch so many times larger, in the memory of one (default: %(default)s)",
    )
    training.add_argument(
        "--mixed-precision",
        choices=("bfloat16",),
        help="compute in bfloat16 and keep the weights in float32, for hardware that is faster so "
        "(default: float32 throughout)",
    )
    training.add_argument(
        "--checkpoint-every",
        type=checkpoint_every,
        default="epoch",
        metavar="STEPS",
        help="steps between two checkpoints, besides the one after each epoch; or epoch for those "
        "alone (default: %(default)s)",
    )
    training.add_argument(
        "--resume",
        action="store_true",
        help="go on with the training in --output that was stopped, with the same options; from "
        "the beginning if there is none",
    )
    shared.add_overwrite(parser, "the model and the checkpoints in --output")
    strategy.add_strategy(parser)
    parser.set_defaults(run=run)


def run(arguments):
    """Trains, and returns the exit code."""
    output = Path(arguments.output)
    model_file = output / shared.MODEL_FILE
    distributed = strategy.distributed_of(arguments)
    writes = distributed is None or distributed.is_chief
    folder = TrainingFolder(output, _recorded(arguments))
    resumes = arguments.resume and folder.holds_training
    if resumes:
        folder.check_settings()
        if folder.is_finished and model_file.exists():
            print(f"This training has finished: {model_file}. There is nothing to resume.")
            return 0
    elif model_file.exists() and not arguments.overwrite:
        raise FileExistsError(
            f"{model_file} exists. Choose another --output, or replace it with --overwrite."
        )
    elif folder.holds_training and not arguments.overwrite:
        raise FileExistsError(
            f"{folder.path} holds a training that was stopped. Go on with it with --resume, or "
            "start anew with --overwrite."
        )
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"{output} is a file. --output is a directory to write to.")
    # All that can be wrong with the data shows before anything slow begins.
    training, counts, validation, validation_counts = _read(arguments)
    if writes:
        output.mkdir(parents=True, exist_ok=True)
        if not os.access(output, os.W_OK):
            raise PermissionError(f"{output} cannot be written to. Choose another --output.")
    if distributed:
        strategy.agree(distributed, arguments, resumes)

    import keras

    from keras_combiner.models import LongDocumentClassifier
    from keras_combiner.whole_files import written_whole

    keras.utils.set_random_seed(arguments.seed)
    if resumes:
        classifier = LongDocumentClassifier.load(folder.start)
    else:
        if arguments.resume:
            print(f"Nothing to resume in {output}: training starts from the beginning.")
        classifier = _untrained(training, counts, arguments)
        if writes:
            folder.clear()
            shutil.rmtree(output / LOGS, ignore_errors=True)
            folder.begin(classifier)
    print(
        f"Training a {arguments.size} model, {classifier.count_params():,} parameters, on "
        f"documents of up to {classifier.sequence_length:,} tokens.",
        flush=True,
    )
    callbacks = _callbacks(arguments, folder, "loss" if validation is None else "val_loss", writes)
    if distributed:
        callbacks = {"distributed": distributed, **callbacks}
    start = time.perf_counter()
    history = classifier.fit(
        training,
        validation_data=validation,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        class_weight=arguments.class_weight,
        seed=arguments.seed,
        gradient_accumulation_steps=arguments.accumulate if arguments.accumulate > 1 else None,
        callbacks=list(callbacks.values()),
        verbose=0,  # the callbacks show how it goes
    ).history
    seconds = time.perf_counter() - start
    if not writes:
        distributed.agree()  # the chief has written all
        print("Trained. The model is in the --output of the chief.")
        return 0

    num_epochs = max(map(len, history.values()))
    best_epoch = callbacks["best"].epoch
    kept = num_epochs - 1
    if arguments.patience and best_epoch is not None:
        kept = best_epoch
        if num_epochs < arguments.epochs:
            print(f"Stopped after epoch {num_epochs}: {arguments.patience} without a smaller loss.")
        if kept != num_epochs - 1:
            print(f"The model is that of the best epoch, {kept + 1}.")
            classifier = LongDocumentClassifier.load(folder.best)
    metrics = {name: values[kept] for name, values in history.items() if values}
    report = {
        "arguments": _recorded(arguments),
        "documents": {
            "all": counts.as_json(),
            "validation": validation_counts and validation_counts.as_json(),
        },
        "training_data": callbacks["progress"].data,
        "parameters": classifier.count_params(),
        "training_seconds": seconds,
        "resumed_at": callbacks["checkpoints"].position if resumes else None,
        "history": history,
        "epochs": callbacks["progress"].epochs,
        "best_epoch": None if best_epoch is None else best_epoch + 1,
        "epoch": kept + 1,
        "metrics": metrics,
        "versions": _versions(),
    }
    texts = companion_texts(classifier)
    texts[REPORT_FILE] = json.dumps(report, indent=2, default=float) + "\n"
    plots = _plots(output, history, classifier, validation)
    # The model gets its name last: where there is one, the other files are its own.
    with (
        written_whole(model_file, overwrite=arguments.overwrite or resumes) as unfinished,
        written_together(output, texts),
    ):
        classifier.save(unfinished)
    for name in {VOCABULARY_FILE, LABELS_FILE, HISTORY_PLOT, CONFUSION_PLOT} - {*texts, *plots}:
        # An earlier model's, which this one has replaced.
        (output / name).unlink(missing_ok=True)
    folder.finish()
    if distributed:
        distributed.agree()
    _print_metrics(metrics, validation_counts, classifier.task.headline)
    written = ", ".join([*texts, *plots])
    print(f"Wrote {model_file}, {written} in {output} after {seconds:.0f} s of training.")
    _print_next(arguments)
    return 0


def checkpoint_every(string):
    """An argparse type: an int of at least 1, or "epoch"."""
    return string if string == "epoch" else shared.integer(1)(string)


def _untrained(training, counts, arguments):
    from keras_combiner.models import LongDocumentClassifier

    options = {}
    if arguments.mixed_precision:
        options["dtype"] = f"mixed_{arguments.mixed_precision}"
    return LongDocumentClassifier.from_texts(
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
        **options,
    )


def _callbacks(arguments, folder, monitor, writes):
    """What watches over `fit`, by name, in the order in which they are asked."""
    import keras

    from keras_combiner.training import BestModel, Checkpoints, FiniteLoss, Progress

    callbacks = {
        "finite": FiniteLoss(),
        "progress": Progress(),
        "best": BestModel(folder.best, monitor, write=writes),
    }
    if writes:
        logs = Path(arguments.output) / LOGS
        callbacks["logs"] = keras.callbacks.TensorBoard(logs, write_graph=False)
    if arguments.patience:
        callbacks["patience"] = keras.callbacks.EarlyStopping(
            monitor, mode="min", patience=arguments.patience
        )
    every = None if arguments.checkpoint_every == "epoch" else arguments.checkpoint_every
    callbacks["checkpoints"] = Checkpoints(
        folder.last, every=every, resume=arguments.resume, write=writes
    )
    return callbacks


def _plots(output, history, classifier, validation):
    """Draws what there is to draw; returns the names of the files."""
    import numpy as np

    from keras_combiner.training.plots import plot_confusion, plot_history

    try:
        plot_history(output / HISTORY_PLOT, history)
    except ImportError as error:
        print(f"No plots: {error}")
        return []
    if validation is None or classifier.task.name != "single_label":
        return [HISTORY_PLOT]
    names = classifier.labels
    answers = classifier.predict(validation, verbose=0).argmax(-1)
    matrix = np.zeros((len(names), len(names)), int)
    np.add.at(matrix, ([names.index(x) for x in validation.labels()], answers), 1)
    plot_confusion(output / CONFUSION_PLOT, matrix, names)
    return [HISTORY_PLOT, CONFUSION_PLOT]


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
