"""`keras-combiner evaluate`: how good a model is on labelled documents."""

import json
import sys
from pathlib import Path

from keras_combiner.cli import arguments as shared
from keras_combiner.cli.target_summary import TargetSummary
from keras_combiner.cli.thresholds import add_threshold, threshold_of


def add_parser(subparsers):
    """Adds the subcommand to the command line."""
    parser = shared.add_command(
        subparsers,
        "evaluate",
        help="measure a model on labelled documents",
        description=(
            "Prints accuracy, loss, what always naming the most frequent class would reach, the "
            "expected calibration error (how far probabilities are from the share of right "
            "answers), and precision and recall of every class; or the errors of a regression."
        ),
        example="keras-combiner evaluate --model runs/a/model.keras --data test.jsonl",
    )
    shared.add_model(parser)
    parser.add_argument(
        "--data",
        required=True,
        metavar="PATH",
        help=f"documents with a label each: {shared.FORMATS}",
    )
    shared.add_data_fields(parser)
    shared.add_weight_field(
        parser,
        "a number, how much the document counts in all figures but the numbers of documents",
        "every document counts the same",
    )
    add_threshold(parser)
    shared.add_batch_size(parser)
    parser.add_argument(
        "--json", metavar="FILE", help="also write the figures to FILE, replacing it (default: no)"
    )
    parser.set_defaults(run=run)


def run(arguments):
    """Evaluates, and returns the exit code."""
    from keras_combiner.datasets import read_documents

    shared.check_model(arguments.model)
    if arguments.json and Path(arguments.json).is_dir():
        raise IsADirectoryError(f"{arguments.json} is a directory. Name a file for --json.")
    read_documents(arguments.data)  # says that there is nothing before the model is loaded

    import numpy as np

    from keras_combiner.batches.text_inputs import each

    classifier = shared.load_model(arguments.model)
    labels = classifier.labels
    threshold = threshold_of(arguments, classifier.task, labels)
    task = classifier.task.with_threshold(threshold, labels)
    documents = read_documents(
        arguments.data,
        **shared.data_options(arguments, task.name),
        weight_field=arguments.weight_field,
    )
    summary = TargetSummary.of(documents)
    summary.check_known(labels, documents)
    # The file is read several times, first for labels and weights alone: texts are not kept.
    targets = np.array(list(each(task.targets(labels), documents.labels())))
    weights = _weights(documents, arguments)
    outputs, found = classifier.predict_with_summary(
        documents, batch_size=arguments.batch_size, verbose=1 if sys.stdout.isatty() else 0
    )
    figures = task.measure(targets, outputs, labels, weights)
    print(task.table(figures))
    if classifier.tokenizer.unknown_token_id is not None:
        figures["unknown_share"] = found["unknown_share"]
        print(f"\nunknown tokens     {figures['unknown_share']:.2%}")
    if arguments.json:
        from keras_combiner.atomic_files import atomic_write

        figures = {"model": arguments.model, "data": arguments.data, **figures}
        with atomic_write(arguments.json, overwrite=True) as unfinished:
            unfinished.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def _weights(documents, arguments):
    """The weight of every document, float64 array `[documents]`; None without --weight-field."""
    import numpy as np

    if arguments.weight_field is None:
        return None
    weights = np.array([document.weight for document in documents])
    if not weights.any():
        raise ValueError(
            f"{arguments.data}: every {arguments.weight_field!r} is 0, so that no document counts. "
            "Give one of them a weight, or leave --weight-field out."
        )
    return weights
