"""`keras-combiner evaluate`: how good a model is on labelled documents."""

import json
import sys
from pathlib import Path

from keras_combiner.cli import arguments as shared
from keras_combiner.cli.label_counts import check_known, count_labels

# As Keras does, so that one sure and wrong answer does not make the loss infinite.
_LEAST_PROBABILITY = 1e-7


def add_parser(subparsers):
    """Adds the subcommand to the command line."""
    parser = shared.add_command(
        subparsers,
        "evaluate",
        help="measure a model on labelled documents",
        description=(
            "Prints accuracy, loss, what always naming the most frequent class would reach, and "
            "precision and recall of every class."
        ),
        example="keras-combiner evaluate --model runs/a/model.keras --data test.jsonl",
    )
    shared.add_model(parser)
    parser.add_argument(
        "--data",
        required=True,
        metavar="PATH",
        help="documents with a label each: .jsonl, .ndjson, .csv, .tsv, or a directory with a "
        "folder of .txt files a class",
    )
    shared.add_data_fields(parser)
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
    documents = read_documents(
        arguments.data, text_field=arguments.text_field, label_field=arguments.label_field
    )
    counts = count_labels(documents)

    import numpy as np

    classifier = shared.load_model(arguments.model)
    check_known(counts, classifier.labels, arguments.data, "the model")
    # Twice over the file, the first time for the labels alone: texts are not held in memory.
    ids = {label: i for i, label in enumerate(classifier.labels)}
    class_ids = np.array([ids[label] for label in documents.labels()])
    probabilities = classifier.predict(
        documents, batch_size=arguments.batch_size, verbose=1 if sys.stdout.isatty() else 0
    )
    figures = measure(class_ids, probabilities, classifier.labels)
    _print(figures)
    if arguments.json:
        from keras_combiner.whole_files import written_whole

        figures = {"model": arguments.model, "data": arguments.data, **figures}
        with written_whole(arguments.json, overwrite=True) as unfinished:
            unfinished.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(class_ids, probabilities, labels):
    """Compares probabilities with the truth.

    Args:
        class_ids: int array `[documents]`, at least one.
        probabilities: float array `[documents, classes]`.
        labels: list of str, the classes.

    Returns:
        dict: "documents", "accuracy", "loss", "majority_class", "majority_accuracy", and "classes",
        a dict of label to "documents", "precision" (None if the class is never named) and "recall"
        (None if it has no documents).

    Example:

    >>> import numpy as np
    >>> figures = measure(np.array([0, 1, 1]), np.array([[0.9, 0.1]] * 3), ["bad", "good"])
    >>> round(figures["accuracy"], 3), figures["majority_class"]
    (0.333, 'good')
    >>> figures["classes"]["good"]
    {'documents': 2, 'precision': None, 'recall': 0.0}
    """
    import numpy as np

    named = probabilities.argmax(-1)
    confusion = np.zeros((len(labels), len(labels)), int)  # [true class, named class]
    np.add.at(confusion, (class_ids, named), 1)
    of_class, of_name, right = confusion.sum(1), confusion.sum(0), confusion.diagonal()
    truth = probabilities[np.arange(len(class_ids)), class_ids]
    most = int(of_class.argmax())
    return {
        "documents": len(class_ids),
        "accuracy": float(right.sum() / len(class_ids)),
        "loss": float(-np.log(np.maximum(truth, _LEAST_PROBABILITY)).mean()),
        "majority_class": labels[most],
        "majority_accuracy": float(of_class[most] / len(class_ids)),
        "classes": {
            label: {
                "documents": int(of_class[i]),
                "precision": float(right[i] / of_name[i]) if of_name[i] else None,
                "recall": float(right[i] / of_class[i]) if of_class[i] else None,
            }
            for i, label in enumerate(labels)
        },
    }


def _print(figures):
    print(f"documents          {figures['documents']:,}")
    print(f"accuracy           {figures['accuracy']:.4f}")
    print(f"majority baseline  {figures['majority_accuracy']:.4f} ({figures['majority_class']})")
    print(f"loss               {figures['loss']:.4f}")
    width = max(len("class"), *map(len, figures["classes"]))
    print(f"\n{'class':<{width}}  documents  precision  recall")
    for label, row in figures["classes"].items():
        precision, recall = (
            "-" if row[name] is None else f"{row[name]:.3f}" for name in ("precision", "recall")
        )
        print(f"{label:<{width}}  {row['documents']:>9,}  {precision:>9}  {recall:>6}")
