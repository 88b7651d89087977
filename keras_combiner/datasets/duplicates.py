"""Duplicates: texts that occur more than once, in a split or in two."""

import array
import dataclasses
import hashlib
import unicodedata

from keras_combiner.datasets.near_duplicates import NearDuplicates

_MOST_EXAMPLES = 3


@dataclasses.dataclass(frozen=True)
class DuplicateFigures:
    """How many texts occur more than once.

    Attributes:
        within: dict of split to int, documents whose text an earlier one of the split has.
        near_within: dict of split to int, different texts nearly the same as an earlier one.
        across: dict of pairs of splits to int, documents of the second whose text the first has.
        near_across: dict of pairs of splits to int, different texts of the second that are nearly
            the same as one of the first.
        contradictory: int, different texts that documents with different labels have.
        near_contradictory: int, groups of texts that are nearly the same, with different labels.
        examples: dict of kind ("within data", "across data test", "contradictory", ...) to pairs of
            documents; a document is a split and its place in it, from 0.
    """

    within: dict
    near_within: dict
    across: dict
    near_across: dict
    contradictory: int
    near_contradictory: int
    examples: dict


class Duplicates:
    """Finds texts that occur more than once; keeps hashes, about half a kilobyte a text.

    White space and the Unicode form do not count. Leave out empty texts.

    Args:
        splits: list of str, names in the order in which documents come; at most 8.

    Example:

    >>> found = Duplicates(["data", "test"])
    >>> for split, text, label in ((0, "a", "x"), (0, "a", "y"), (1, " a", "x"), (1, "b", "x")):
    ...     found.add(split, 0, text, label)
    >>> figures = found.figures()
    >>> figures.within, figures.across, figures.contradictory
    ({'data': 1, 'test': 0}, {('data', 'test'): 1}, 1)
    """

    def __init__(self, splits):
        self._splits = list(splits)
        self._rows = {}  # hash of a text: its row in what follows
        self._first = array.array("q"), array.array("q")  # split and place of the first document
        self._found_in = bytearray()  # splits that have it, a bit each
        self._labels = array.array("q")
        self._near = NearDuplicates()
        self._within = dict.fromkeys(self._splits, 0)
        self._across = {(a, b): 0 for j, b in enumerate(self._splits) for a in self._splits[:j]}
        self._contradictory = set()
        self._examples = {}

    def add(self, split: int, place: int, text: str, label):
        """Adds a document.

        Args:
            split: int, which one of the splits; none may come after a later one.
            place: int, which one of its documents.
            text: str.
            label: of a `Document`; None if it is not known.
        """
        text = " ".join(unicodedata.normalize("NFC", text).split())
        row = self._rows.setdefault(_hash(text), len(self._labels))
        label = -1 if label is None else _hash_of_label(label)
        if row == len(self._labels):
            self._first[0].append(split)
            self._first[1].append(place)
            self._found_in.append(1 << split)
            self._labels.append(label)
            self._near.add(row, text)
            return
        pair = (self._document(row), (split, place))
        for i in range(split):
            if self._found_in[row] >> i & 1:
                self._across[self._splits[i], self._splits[split]] += 1
                self._show(f"across {self._splits[i]} {self._splits[split]}", pair)
        if self._found_in[row] >> split & 1:
            self._within[self._splits[split]] += 1
            self._show(f"within {self._splits[split]}", pair)
        self._found_in[row] |= 1 << split
        if self._labels[row] == -1:
            self._labels[row] = label
        elif label not in (-1, self._labels[row]) and row not in self._contradictory:
            self._contradictory.add(row)
            self._show("contradictory", pair)

    def figures(self) -> DuplicateFigures:
        """Compares the texts that are not the same.

        Returns:
            `DuplicateFigures`.
        """
        near_within = dict.fromkeys(self._within, 0)
        near_across = dict.fromkeys(self._across, 0)
        near_contradictory = 0
        for group in self._near.groups():
            group = group.tolist()
            seen = {}  # split: the first row of the group in it
            for row in group:
                for split, name in enumerate(self._splits):
                    if not self._found_in[row] >> split & 1:
                        continue
                    for earlier in range(split):
                        # The same text in both was counted before.
                        if earlier in seen and not self._found_in[row] >> earlier & 1:
                            near_across[self._splits[earlier], name] += 1
                            pair = (seen[earlier], self._document(row))
                            self._show(f"near_across {self._splits[earlier]} {name}", pair)
                    if split in seen:
                        near_within[name] += 1
                        self._show(f"near_within {name}", (seen[split], self._document(row)))
                    seen.setdefault(split, self._document(row))
            labels = {self._labels[row]: row for row in reversed(group) if self._labels[row] != -1}
            if len(labels) > 1:
                near_contradictory += 1
                first, second = sorted(labels.values())[:2]
                self._show("near_contradictory", (self._document(first), self._document(second)))
        return DuplicateFigures(
            within=dict(self._within),
            near_within=near_within,
            across=dict(self._across),
            near_across=near_across,
            contradictory=len(self._contradictory),
            near_contradictory=near_contradictory,
            examples=self._examples,
        )

    def _document(self, row):
        return self._first[0][row], self._first[1][row]

    def _show(self, kind, pair):
        examples = self._examples.setdefault(kind, [])
        if len(examples) < _MOST_EXAMPLES:
            examples.append(pair)


def _hash_of_label(label):
    """A number that is at least 0; labels of a document mean the same in any order."""
    return _hash(repr(sorted(set(label)) if isinstance(label, tuple) else label)) >> 1


def _hash(text):
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
