"""check_data: what is in files of documents, before anything is learned from them."""

import array
import collections
import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from keras_combiner.datasets.data_findings import Finding, data_findings
from keras_combiner.datasets.document import Document, task_of
from keras_combiner.datasets.duplicates import DuplicateFigures, Duplicates
from keras_combiner.datasets.readers import read_documents
from keras_combiner.datasets.text_damage import text_damage
from keras_combiner.datasets.weighted_document import WeightedDocument

_MOST_PLACES = 3
# Texts whose tokens are counted at once, and characters of them.
_BATCH_TEXTS = 16
_BATCH_CHARACTERS = 2**18


@dataclasses.dataclass
class Places:
    """How often something was found, and where first.

    Attributes:
        count: int.
        first: list of str, places as errors name them.
    """

    count: int = 0
    first: list = dataclasses.field(default_factory=list)

    def add(self, place: str):
        """Counts one more."""
        self.count += 1
        if len(self.first) < _MOST_PLACES:
            self.first.append(place)


@dataclasses.dataclass(frozen=True)
class SplitFigures:
    """What is in one file, directory or pattern of files.

    Attributes:
        path: str.
        documents: int, those that can be read.
        task: str, "single_label", "multi_label" or "regression"; None without any target.
        labels: dict of label to documents, the most frequent first.
        target: dict of "min", "mean" and "max", of the numbers of a regression; else None.
        weights: dict of "count", "zeros" (int), "min", "mean", "max", "total" (float) and "labels"
            (dict of label to the sum of its documents' weights, in the order of `labels`); None
            unless weights are read.
        unreadable: `Places`, records that cannot be read; these are messages, which begin with the
            place.
        unlabelled: `Places`, documents without a target.
        empty: `Places`, documents without text but white space.
        lengths: dict of "min", "median", "mean", "p90", "max" and "total", tokens of a document, or
            words; None without documents.
        longer: int, documents that are longer than the model reads; None if that is not known.
        unread: float, share of all tokens that the model would not read; None as before.
        unknown: float, share of the tokens that the vocabulary does not have; None of words.
        damage: dict of kind to `Places`, see `keras_combiner.datasets.text_damage`.
    """

    path: str
    documents: int
    task: str | None
    labels: dict
    target: dict | None
    weights: dict | None
    unreadable: Places
    unlabelled: Places
    empty: Places
    lengths: dict | None
    longer: int | None
    unread: float | None
    unknown: float | None
    damage: dict


@dataclasses.dataclass(frozen=True)
class DataCheck:
    """What `check_data` found.

    Attributes:
        splits: dict of "data", "validation" and "test", those of them that were checked, to
            `SplitFigures`.
        duplicates: `DuplicateFigures`.
        sequence_length: int, the tokens that a model reads; None if that is not known.
        unit: str, what lengths count: "tokens" or "words".
        findings: tuple of `Finding`, first those that should be fixed before a training starts.
    """

    splits: dict[str, SplitFigures]
    duplicates: DuplicateFigures
    sequence_length: int | None
    unit: str
    findings: tuple[Finding, ...]

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing that should be fixed before a training starts."""
        return not any(finding.stops for finding in self.findings)

    def as_json(self) -> dict:
        """All figures, as what JSON can hold."""
        figures = dataclasses.asdict(self)
        for name in ("across", "near_across"):
            pairs = figures["duplicates"][name]
            figures["duplicates"][name] = {f"{a}, {b}": count for (a, b), count in pairs.items()}
        del figures["duplicates"]["examples"]  # findings have their places
        return {"is_clean": self.is_clean, **figures}


def check_data(
    data: str | os.PathLike,
    validation_data: str | os.PathLike | None = None,
    test_data: str | os.PathLike | None = None,
    *,
    text_field: str = "text",
    label_field: str | None = None,
    task: str | None = None,
    weight_field: str | None = None,
    sequence_length: int | None = None,
    count_tokens: Callable[[Sequence[str]], Iterable[Sequence[int]]] | None = None,
    progress: Callable[[int], None] | None = None,
) -> DataCheck:
    """Looks at documents before anything is learned from them.

    Skips what cannot be read, and counts it. Texts are not held in memory: of every different one,
    about half a kilobyte of hashes is kept.

    Args:
        data: str or path, what to learn from; whatever `read_documents` takes.
        validation_data: the same, what to validate on; or None.
        test_data: the same, what to test on; or None.
        text_field: as in `read_documents`.
        label_field: as in `read_documents`.
        task: as in `read_documents`.
        weight_field: as in `read_documents`; all of the files must have it. A record without a
            weight, or with a negative one, cannot be read.
        sequence_length: int, the most tokens that a model reads; None if that is not known.
        count_tokens: callable, a list of str to three sequences of int: how many tokens a model
            reads of each, how many of them stand for text, and how many of those are unknown. Words
            are counted if None.
        progress: callable of the number of documents looked at, called after each; or None.

    Returns:
        `DataCheck`.

    Raises:
        FileNotFoundError: there is nothing at a path.
        ValueError: no document of a path can be read; the message says why of the first.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.csv"
    >>> _ = path.write_text("text,label\\nA fine book.,good\\nToo long.,bad\\nA fine book.,bad\\n")
    >>> check = check_data(path)
    >>> check.is_clean, check.splits["data"].labels, check.duplicates.contradictory
    (False, {'bad': 2, 'good': 1}, 1)
    """
    paths = {"data": data, "validation": validation_data, "test": test_data}
    paths = {name: path for name, path in paths.items() if path is not None}
    options = {
        "text_field": text_field,
        "label_field": label_field,
        "task": task,
        "weight_field": weight_field,
    }
    readers = {name: reader_to_check(path, **options) for name, path in paths.items()}
    duplicates, surveys, done = Duplicates(readers), {}, 0
    for split, (name, reader) in enumerate(readers.items()):
        survey = surveys[name] = _Survey(reader.name, sequence_length, count_tokens)
        for place, document in reader.located():
            number = survey.documents
            if survey.take(place, document) and document.text.strip():
                duplicates.add(split, number, document.text, document.label)
            done += 1
            if progress is not None:
                progress(done)
        survey.finish()
    splits = {name: survey.figures() for name, survey in surveys.items()}
    figures = duplicates.figures()
    places = _places(readers, figures.examples)
    unit = "words" if count_tokens is None else "tokens"
    findings = data_findings(splits, figures, places, sequence_length, unit)
    return DataCheck(splits, figures, sequence_length, unit, findings)


def reader_to_check(path: str | os.PathLike, **options):
    """Makes a reader that also reads documents without a target.

    Args:
        path: str or path.
        **options: of `read_documents`.

    Returns:
        `keras_combiner.datasets.DocumentReader`.
    """
    # In a directory, the folder is the label; files beside the folders are not documents.
    return read_documents(path, require_labels=os.path.isdir(path), **options)


class _Survey:
    """The figures of a split, collected while its documents are read."""

    def __init__(self, path, sequence_length, count_tokens):
        self.path = path
        self.documents = 0
        self._sequence_length = sequence_length
        self._count_tokens = count_tokens
        self._task = None
        self._labels = collections.Counter()
        self._numbers = array.array("d")
        self._weights, self._weights_of = array.array("d"), collections.Counter()
        self._unreadable, self._unlabelled, self._empty = Places(), Places(), Places()
        self._error = None
        self._damage = collections.defaultdict(Places)
        self._waiting, self._characters = [], 0
        self._lengths, self._of_text, self._unknown = array.array("q"), 0, 0

    def take(self, place, document):
        """Counts a document, or what is wrong with one; returns whether it is a document."""
        if isinstance(document, Document):
            document = self._of_the_task(place, document)
        if isinstance(document, ValueError):
            self._error = self._error or document
            self._unreadable.add(str(document))
            return False
        self.documents += 1
        self._count_label(place, document.label)
        if isinstance(document, WeightedDocument):
            self._weights.append(document.weight)
            self._weights_of.update(dict.fromkeys(_names(document.label), document.weight))
        if not document.text.strip():
            self._empty.add(place)
        for kind in text_damage(document.text):
            self._damage[kind].add(place)
        self._waiting.append(document.text)
        self._characters += len(document.text)
        if len(self._waiting) == _BATCH_TEXTS or self._characters > _BATCH_CHARACTERS:
            self._measure()
        return True

    def finish(self):
        """Raises the first error if there was no document."""
        if not self.documents:
            raise self._error or ValueError(f"{self.path}: no documents.")
        self._measure()

    def figures(self):
        """The `SplitFigures`."""
        lengths = np.array(self._lengths)
        limit, is_limited = self._sequence_length, self._sequence_length is not None
        of_tokens = self._count_tokens is not None
        total = int(lengths.sum())
        return SplitFigures(
            path=self.path,
            documents=self.documents,
            task=self._task,
            labels=dict(self._labels.most_common()),
            target=_spread(np.array(self._numbers)) if self._numbers else None,
            weights=self._weight_figures() if self._weights else None,
            unreadable=self._unreadable,
            unlabelled=self._unlabelled,
            empty=self._empty,
            lengths={
                **_spread(lengths),
                "median": float(np.median(lengths)),
                "p90": float(np.percentile(lengths, 90)),
                "total": total,
            },
            longer=int((lengths > limit).sum()) if is_limited else None,
            unread=(
                float(np.maximum(lengths - limit, 0).sum() / max(total, 1)) if is_limited else None
            ),
            unknown=self._unknown / max(self._of_text, 1) if of_tokens else None,
            damage=dict(self._damage),
        )

    def _of_the_task(self, place, document):
        found = task_of(document.label)
        if found not in (None, self._task) and self._task is not None:
            return ValueError(f"{place}: its target is of a task {found!r}, not {self._task!r}.")
        self._task = self._task or found
        return document

    def _count_label(self, place, label):
        if label is None:
            self._unlabelled.add(place)
        elif isinstance(label, float):
            self._numbers.append(label)
        else:
            self._labels.update(_names(label))

    def _weight_figures(self):
        weights = np.array(self._weights)
        return {
            **_spread(weights),
            "count": len(weights),
            "zeros": int((weights == 0).sum()),
            "total": weights.sum().item(),
            "labels": {label: self._weights_of[label] for label, _ in self._labels.most_common()},
        }

    def _measure(self):
        if not self._waiting:
            return
        if self._count_tokens is None:
            self._lengths.extend(len(text.split()) for text in self._waiting)
        else:
            lengths, of_text, unknown = self._count_tokens(self._waiting)
            self._lengths.extend(map(int, lengths))
            self._of_text += sum(map(int, of_text))
            self._unknown += sum(map(int, unknown))
        self._waiting, self._characters = [], 0


def _names(label):
    """The labels of a document, a set of str; empty for a number, or without any."""
    if label is None or isinstance(label, float):
        return set()
    return {label} if isinstance(label, str) else set(label)


def _spread(values):
    return {
        "min": values.min().item(),
        "mean": values.mean().item(),
        "max": values.max().item(),
    }


def _places(readers, examples):
    """Where the documents of examples stand: dict of kind to pairs of str; reads again."""
    wanted = {document for pairs in examples.values() for pair in pairs for document in pair}
    places = {}
    for split, reader in enumerate(readers.values()):
        left = {place for i, place in wanted if i == split}
        numbered = (x for x in reader.located() if isinstance(x[1], Document))
        for number, (place, _) in enumerate(numbered):
            if not left:
                break
            if number in left:
                places[split, number] = place
                left.discard(number)
    return {
        kind: [tuple(places.get(x, "?") for x in pair) for pair in pairs]
        for kind, pairs in examples.items()
    }
