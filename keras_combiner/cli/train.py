"""`keras-combiner train`: documents and their classes in, a model and a report out."""

import argparse
import dataclasses
import shlex
from pathlib import Path

from keras_combiner.cli import arguments as shared
from keras_combiner.cli import class_weights, strategy, training_arguments
from keras_combiner.cli.label_counts import documents_in
from keras_combiner.cli.sidecar_files import (
    LABELS_FILE,
    THRESHOLDS_FILE,
    VOCABULARY_FILE,
    sidecar_texts,
)
from keras_combiner.cli.training_documents import read_training_documents
from keras_combiner.cli.training_run import HISTORY_PLOT, TrainingRun, plot_history, recorded

CONFUSION_PLOT = "confusion.png"
RELIABILITY_PLOT = "reliability.png"
# Spelled out, since the modules that define them import Keras; the tests compare.
LEAST_TO_CALIBRATE = 10
POOLINGS = ("mean", "label")


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
            "predicted. A training that was stopped, by whatever cause, goes on with --resume."
        ),
        example="""
            keras-combiner train --data reviews.jsonl --output runs/a
            keras-combiner train --data reviews.csv --text-field review --label-field stars \\
                --sequence-length 2048 --epochs 4 --output runs/b
            keras-combiner train --data reviews.jsonl --output runs/a --resume
            keras-combiner train --data reviews.jsonl --pretrained runs/pretrained --output runs/c
            keras-combiner train --data reviews.jsonl --class-weight spam=3 --output runs/d
            keras-combiner train --data reviews.jsonl --calibrate --output runs/e
        """,
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="PATH",
        help=f"documents with a label each: {shared.FORMATS}",
    )
    training_arguments.add_output(parser)
    training_arguments.add_validation(parser)
    shared.add_data_fields(parser)
    shared.add_weight_field(
        parser,
        "a number that the loss of the document is multiplied with",
        "every document weighs the same",
    )
    model = parser.add_argument_group("model")
    training_arguments.add_model(
        model,
        long_texts="truncate",
        long_texts_help="how longer documents are read: truncated, their first tokens alone; or in "
        "overlapping windows, whose answers are averaged",
    )
    model.add_argument(
        "--pooling",
        choices=POOLINGS,
        help="mean: all tokens of a document are averaged; label: for each label they are "
        "weighted by an attention of its own (default: mean)",
    )
    model.add_argument(
        "--lexical",
        action=argparse.BooleanOptionalAction,
        help="add a linear model of the tokens that a document has, in any order, to the "
        "transformer (default: yes; with --pretrained no)",
    )
    training = parser.add_argument_group("training")
    training_arguments.add_epochs(training)
    class_weights.add_class_weight(training)
    training.add_argument(
        "--token-dropout",
        type=shared.fraction,
        metavar="SHARE",
        help="share of the tokens that each step leaves out, which keeps few documents from being "
        "learned by heart (default: 0.3; with --pretrained 0)",
    )
    training_arguments.add_course(training)
    strategy.add_strategy(training)
    training.add_argument(
        "--calibrate",
        action="store_true",
        help="after the training make probabilities match how often answers are right, by a "
        "temperature fitted on the validation documents, and choose for each of several labels the "
        "threshold with the largest F1",
    )
    training.add_argument(
        "--precision",
        type=shared.probability,
        metavar="SHARE",
        help="with --calibrate: choose the least thresholds above which this share of the answers "
        "is right; documents of one label may then get none",
    )
    shared.add_overwrite(parser, "the model and the checkpoints in --output")
    parser.set_defaults(run=run)


def run(arguments):
    """Trains, and returns the exit code."""
    training_arguments.settle(arguments)
    class_weights.settle(arguments)
    _check_calibration(arguments)
    with TrainingRun(arguments, strategy.distributed_of(arguments)) as training_run:
        return _train(training_run, arguments)


def _train(training_run, arguments):
    if training_run.is_done():
        return 0
    # Errors in the data are raised before anything slow begins.
    documents = read_training_documents(arguments)
    if arguments.calibrate:
        _check_calibration_data(documents.validation_counts, arguments.data)
    training_run.make_output()

    from keras_combiner.models import LongDocumentClassifier

    result = training_run.train(
        LongDocumentClassifier,
        lambda: _untrained(documents, arguments),
        documents.training,
        documents.validation,
        class_weight=documents.class_weight,
    )
    if not training_run.writes:
        return training_run.leave_to_chief()
    calibration = None
    if arguments.calibrate:
        calibration = result.model.calibrate(
            documents.validation, precision=arguments.precision, batch_size=arguments.batch_size
        )
        print(calibration)
    names = training_run.write(
        result.model,
        sidecar_texts(result.model),
        {
            **result.report(recorded(arguments), documents.as_json()),
            "calibration": calibration and dataclasses.asdict(calibration),
        },
        _plots(training_run.output, result, documents.validation, calibration),
        earlier={
            VOCABULARY_FILE,
            LABELS_FILE,
            THRESHOLDS_FILE,
            HISTORY_PLOT,
            CONFUSION_PLOT,
            RELIABILITY_PLOT,
        },
    )
    _print_metrics(result, documents.validation_counts)
    training_run.print_written(names, result.seconds)
    _print_next(arguments)
    return 0


def _untrained(documents, arguments):
    from keras_combiner.models import LongDocumentClassifier

    labels = documents.labels_to_learn()
    kind = {"task": documents.counts.task, "long_texts": arguments.long_texts}
    for name in ("pooling", "lexical", "token_dropout"):
        if getattr(arguments, name) is not None:
            kind[name] = getattr(arguments, name)
    if arguments.pretrained:
        return LongDocumentClassifier.from_pretrained(
            arguments.pretrained, labels, **kind, **training_arguments.pretrained_options(arguments)
        )
    classifier = LongDocumentClassifier.from_texts(
        documents.training.texts(),
        labels,
        **kind,
        **training_arguments.untrained_options(arguments),
    )
    classifier.learning_rate = arguments.learning_rate
    return classifier


def _check_calibration(arguments):
    """Refuses what --calibrate cannot do without, before anything slow begins."""
    if arguments.precision is not None and not arguments.calibrate:
        raise ValueError("--precision says what --calibrate is to reach. Give it too.")
    if arguments.calibrate and not (arguments.validation_data or arguments.validation_split):
        raise ValueError(
            "--calibrate needs documents that are not trained on. Give --validation-data or a "
            "--validation-split above 0."
        )


def _check_calibration_data(validation_counts, data):
    """Refuses what would fail only after the training."""
    if validation_counts.task == "regression":
        raise ValueError(
            f"--calibrate is for labels, which have probabilities. {data} is for the task "
            "'regression'."
        )
    if validation_counts.documents < LEAST_TO_CALIBRATE:
        raise ValueError(
            f"--calibrate needs at least {LEAST_TO_CALIBRATE} documents for validation, a hundred "
            f"or more to be of use. Received: {validation_counts.documents}."
        )


def _plots(output, result, validation, calibration):
    """Draws the plots of a training; returns the names of the files."""
    classifier, written = result.model, plot_history(output, result.history)
    if written and calibration is not None:
        from keras_combiner.tasks import Reliability
        from keras_combiner.training.plots import plot_reliability

        figures = {"before": calibration.before, "after": calibration.after}
        tables = {title: Reliability(**x["reliability"]) for title, x in figures.items()}
        plot_reliability(output / RELIABILITY_PLOT, tables)
        written.append(RELIABILITY_PLOT)
    if not written or validation is None or classifier.task.name != "single_label":
        return written
    import numpy as np

    from keras_combiner.datasets.label_places import LabelPlaces
    from keras_combiner.training.plots import plot_confusion

    names, places = classifier.labels, LabelPlaces(classifier.labels)
    answers = classifier.predict(validation, verbose=0).argmax(-1)
    matrix = np.zeros((len(names), len(names)), int)
    np.add.at(matrix, ([places[x] for x in validation.labels()], answers), 1)
    plot_confusion(output / CONFUSION_PLOT, matrix, names)
    return [*written, CONFUSION_PLOT]


def _print_metrics(result, validation_counts):
    metrics, headline = result.metrics, result.model.task.headline
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
