"""TargetSummary: what is to be learned of a set of documents, summed up as they stream by."""

import dataclasses
import math
from collections import Counter

from keras_combiner.cli.label_counts import check_distinct, check_known, describe


@dataclasses.dataclass
class TargetSummary:
    """How many documents there are, and how their targets are spread.

    Attributes:
        documents: int.
        task: str, "single_label", "multi_label" or "regression"; None without documents.
        labels: `collections.Counter`, documents of each label, in alphabetical order.
        total: float, the sum of the numbers of a regression.
        least: float, the least of them.
        most: float, the greatest.
        keeps_alike_labels: bool, as the reader's.
    """

    documents: int = 0
    task: str | None = None
    labels: Counter = dataclasses.field(default_factory=Counter)
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    keeps_alike_labels: bool = False

    @classmethod
    def of(cls, reader):
        """Sums up a reader; reads all of it, so that bad data shows early.

        Args:
            reader: `keras_combiner.datasets.DocumentReader`.

        Returns:
            `TargetSummary`.

        Raises:
            ValueError: for labels that differ in white space only, unless the reader warns of
                them, and whatever is wrong in a file.
        """
        from keras_combiner.datasets.document import task_of

        summary = cls(keeps_alike_labels=reader.keeps_alike_labels)
        for label in reader.labels():
            summary.documents += 1
            summary.task = summary.task or task_of(label)
            if summary.task == "regression":
                summary.total += label
                summary.least, summary.most = min(summary.least, label), max(summary.most, label)
            else:
                summary.labels.update({label} if isinstance(label, str) else set(label))
        summary.labels = Counter({label: summary.labels[label] for label in sorted(summary.labels)})
        if not summary.keeps_alike_labels:
            check_distinct(summary.labels, reader)
        return summary

    def names(self):
        """The labels as a classifier learns them: an iterable of str, as the reader's are."""
        return _Names(self.labels, self.keeps_alike_labels)

    def check_known(self, labels, documents):
        """As `keras_combiner.cli.label_counts.check_known`."""
        check_known(self.labels, labels, documents)

    def without(self, part):
        """How many documents of each label there are outside of a part.

        Args:
            part: `TargetSummary` of some of the documents.

        Returns:
            `collections.Counter`, without the labels of which there are none.
        """
        return self.labels - part.labels

    def as_json(self):
        """What report.json says: counts by class, or figures in a dict."""
        if self.task == "single_label":
            return dict(self.labels)
        if self.task == "multi_label":
            return {"documents": self.documents, "labels": dict(self.labels)}
        mean = self.total / self.documents
        return {"documents": self.documents, "mean": mean, "min": self.least, "max": self.most}

    def __str__(self):
        """The targets in a few words."""
        if self.task == "single_label":
            return describe(self.labels)
        if self.task == "multi_label":
            found = f": {describe(self.labels)}" if self.labels else ""
            return f"any of {len(self.labels)} labels{found}"
        mean = self.total / self.documents
        return f"numbers from {self.least:.6g} to {self.most:.6g}, on average {mean:.6g}"


@dataclasses.dataclass
class _Names:
    """Labels without documents."""

    names: Counter
    keeps_alike_labels: bool

    def __iter__(self):
        return iter(self.names)
