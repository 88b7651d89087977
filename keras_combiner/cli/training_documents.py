"""TrainingDocuments: what `train` learns from, opened, counted and checked."""

import dataclasses
from typing import Any

from keras_combiner.cli import arguments as shared
from keras_combiner.cli.class_weights import class_weight_of
from keras_combiner.cli.label_counts import documents_in
from keras_combiner.cli.sidecar_files import check_labels
from keras_combiner.cli.target_summary import TargetSummary


@dataclasses.dataclass(frozen=True)
class TrainingDocuments:
    """The documents to train and to validate on.

    Attributes:
        training: `keras_combiner.datasets.DocumentReader`.
        counts: `TargetSummary` of all of --data.
        validation: another reader; None without validation.
        validation_counts: its `TargetSummary`; None without validation.
        class_weight: what `LongDocumentClassifier.fit` takes as such.
    """

    training: Any
    counts: TargetSummary
    validation: Any
    validation_counts: TargetSummary | None
    class_weight: Any

    def labels_to_learn(self):
        """What `from_texts` learns the outputs from."""
        # Of all documents: those of a class may all be in the validation part.
        if self.counts.task == "single_label":
            return self.counts.names()
        if self.counts.task == "multi_label":
            return [tuple(self.counts.labels)]
        return self.training.labels()

    def as_json(self):
        """What report.json says: a dict."""
        validation = self.validation_counts
        return {"all": self.counts.as_json(), "validation": validation and validation.as_json()}


def read_training_documents(arguments):
    """Opens and counts the documents, and says what they are.

    Args:
        arguments: `argparse.Namespace`, settled.

    Returns:
        `TrainingDocuments`.

    Raises:
        ValueError: for whatever is wrong in a file, or leaves nothing to train or to validate on,
            or does not go with the options.
    """
    from keras_combiner.datasets import read_documents

    options = {**shared.data_options(arguments), "weight_field": arguments.weight_field}
    documents = read_documents(arguments.data, **options)
    validation = None
    if arguments.validation_data:
        validation = read_documents(arguments.validation_data, **options)
    print(f"Reading {arguments.data} ...", flush=True)
    counts = TargetSummary.of(documents)
    _check_targets(counts, arguments)
    class_weight = class_weight_of(arguments, list(counts.labels))
    classes = f"{len(counts.labels)} classes: " if counts.task == "single_label" else ""
    print(f"{documents_in(counts.documents)}, {classes}{counts}")
    if validation is not None:
        validation_counts = TargetSummary.of(validation)
        if validation_counts.task != counts.task:
            raise ValueError(
                f"{arguments.validation_data}: its targets are those of a task "
                f"{validation_counts.task!r}, those of {arguments.data} of {counts.task!r}."
            )
        validation_counts.check_known(list(counts.labels), validation)
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
        return TrainingDocuments(documents, counts, None, None, class_weight)
    print(
        f"Validation: {documents_in(validation_counts.documents)} ({source}): {validation_counts}"
    )
    if not in_training:
        raise ValueError(
            f"A --validation-split of {arguments.validation_split} leaves no document to train on."
        )
    if unseen:
        print(f"Note: all documents of these classes are held out: {', '.join(sorted(unseen))}")
    return TrainingDocuments(training, counts, validation, validation_counts, class_weight)


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
    if arguments.class_weight and counts.task == "regression":
        raise ValueError(
            f"--class-weight is for documents with labels. {arguments.data} is for the task "
            f"{counts.task!r}."
        )
    check_labels(counts.labels)
