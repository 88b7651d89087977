import collections
import string
import sys

import pytest
import tensorflow as tf

from keras_combiner.text import WordPieceTokenizer, learn_wordpiece_vocabulary
from keras_combiner.text.vocabulary import _count_words, _search_threshold

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def learn(texts, *args, **kwargs):
    return learn_wordpiece_vocabulary(texts, *args, verbose=False, **kwargs)


def unknown_rate(vocabulary, texts, **kwargs):
    tokenizer = WordPieceTokenizer(vocabulary, **kwargs)
    ids = tokenizer.encode(texts, 1_000_000).flat_values.numpy()
    return (ids == tokenizer.unknown_token_id).mean()


def test_tiny():
    assert learn(["Ab, ab!"]) == [*SPECIALS, "!", ",", "a", "b", "##a", "##b", "ab"]
    assert learn(["7"]) == [*SPECIALS, "7", "##7"]
    assert learn(["?"]) == [*SPECIALS, "?"]
    assert learn(["x" * 300]) == [*SPECIALS, "x", "##x"]


def test_frequent_words_become_pieces():
    texts = ["the cat sat on the mat and the cat ate"] * 10 + ["zyx"]
    vocabulary = learn(texts, 40)
    assert {"the", "cat"} <= set(vocabulary)
    assert vocabulary.index("the") < vocabulary.index("cat")


def test_a_real_corpus(addresses):
    texts = addresses[::60]
    vocabulary = learn(texts, 2000)
    assert vocabulary[:4] == SPECIALS
    assert len(vocabulary) == len(set(vocabulary)) == 2000
    assert {"government", "the", "##ing"} <= set(vocabulary)
    assert unknown_rate(vocabulary, texts) < 1e-4
    # No entry that can never be found: punctuation inside a word.
    assert not [token for token in vocabulary[4:] if set(token[2:]) & set(string.punctuation)]


def test_same_texts_same_vocabulary(addresses):
    texts = [x[:3000] for x in addresses[:3]]
    expected = learn(texts, 300)
    assert len(expected) == 300
    assert learn(reversed(texts), 300) == expected
    assert learn((text.encode() for text in texts), 300) == expected
    assert learn(tf.data.Dataset.from_tensor_slices(texts), 300) == expected


def test_printable_ascii_is_reachable():
    texts = [string.printable + " " + " ".join(string.printable)] + ["語" * 50 + "é"] * 100
    for lowercase in (True, False):
        vocabulary = learn(texts, 400, lowercase=lowercase)
        word = "".join(sorted(string.ascii_letters + string.digits, reverse=True))
        unseen = [word + " " + string.punctuation + " " + " ".join(word)]
        assert unknown_rate(vocabulary, unseen, lowercase=lowercase) == 0
        assert "語" in vocabulary
        assert "##語" not in vocabulary
        assert "##;" not in vocabulary


@pytest.mark.parametrize("size", [19, 20, 25, 30])
def test_never_more_than_asked(size):
    texts = ["abcdefg abc abc abc gfe gfe fed bad cab " + "語漢字文日本" * 3]
    vocabulary = learn(texts, size)
    assert len(vocabulary) <= size
    assert vocabulary[:4] == SPECIALS
    assert unknown_rate(vocabulary, ["gfedcba a b c d e f g"]) == 0


def test_rare_characters_fill_at_most_half():
    rare = "".join(chr(code_point) for code_point in range(0x4E00, 0x4E00 + 500))
    vocabulary = learn([rare + " " + " ".join(f"word{n}" for n in range(100)) * 3], 200)
    assert len(vocabulary) == 200
    assert sum(token in rare for token in vocabulary) < 100
    assert "word" in "".join(vocabulary)


def test_counts_the_words_of_the_tokenizer():
    texts = ["Don't stop: 漢字!", b"caf\xe9 a\0b", "", "É e $xa " + "z" * 101]
    counts, num_texts = _count_words(iter(texts), lowercase=True)
    assert num_texts == 4
    words = ["don", "'", "t", "stop", ":", "漢", "字", "!", "caf\ufffd", "a", "b", "e", "e", "$"]
    assert counts == collections.Counter([*words, "xa", "z" * 101])


@pytest.mark.slow
def test_batches_do_not_change_the_counts(addresses):
    short = addresses[0].split()[:1000]
    counts, num_texts = _count_words(short, lowercase=True)
    assert num_texts == 1000
    assert counts == _count_words([" ".join(short)], lowercase=True)[0]


@pytest.mark.parametrize("wanted", [1, 5, 50, 99, 100, 101, 500, 5000, 20_000])
def test_search_finds_enough_pieces(wanted):
    tried = []

    def learn_as_zipf(threshold):
        tried.append(threshold)
        return ["piece"] * min(10_000, int(10_000 / threshold))

    found = _search_threshold(learn_as_zipf, wanted, 1, 10_000, 100_000)
    assert len(found) == min(wanted, 10_000)
    assert len(tried) == len(set(tried)) <= 8


def test_search_ends_with_ties():
    # Thresholds give 3 pieces or 1000, nothing between.
    found = _search_threshold(lambda t: [0] * (1000 if t < 40 else 3), 100, 1, 10_000, 10_000)
    assert len(found) == 100
    assert _search_threshold(lambda t: [0] * 3, 100, 1, 10_000, 10_000) == [0] * 3
    assert _search_threshold(lambda t: [0] * 3000, 100, 2, 64, 10_000) == [0] * 100


@pytest.mark.parametrize(
    ("texts", "kwargs", "error", "words"),
    [
        ([], {}, ValueError, "0 text"),
        (["", " \n\0"], {}, ValueError, "2 text"),
        ("one text", {}, ValueError, r"single str.*\[text\]"),
        (["a", None], {}, TypeError, "position 1: None"),
        (7, {}, TypeError, "Received: int"),
        (["a b c"], {"vocabulary_size": 9}, ValueError, "at least 10 .*vocabulary_size=9"),
        (["a"], {"vocabulary_size": 0}, ValueError, "at least 6"),
        (["a"], {"vocabulary_size": 10.5}, TypeError, "float"),
        (["a"], {"lowercase": 1}, TypeError, "lowercase"),
    ],
)
def test_refuses(texts, kwargs, error, words):
    with pytest.raises(error, match=words):
        learn(texts, **kwargs)


def test_verbose_prints_two_lines(capsys):
    learn_wordpiece_vocabulary(["one two two"])
    first, last = capsys.readouterr().out.splitlines()
    assert "at most 8,000" in first
    assert "3 words (2 different) of 1 texts in 0" in last
    learn(["one"])
    assert capsys.readouterr().out == ""


def test_missing_tensorflow_text_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(ImportError, match=r"pip install keras_combiner\[text\]"):
        learn(["a"])


def test_a_mask_token_takes_the_place_after_the_others(addresses):
    texts = [x[:5000] for x in addresses[::80]]
    without, vocabulary = (
        learn_wordpiece_vocabulary(texts, 400, verbose=False, mask_token=x) for x in (False, True)
    )
    assert vocabulary[:5] == [*SPECIALS, "[MASK]"]
    assert len(vocabulary) == len(without) == 400
    assert set(without) - set(vocabulary) == {without[-1]}
    tokenizer = WordPieceTokenizer(vocabulary)
    assert tokenizer.mask_token_id == 4
    # No text has it.
    assert 4 not in tokenizer(["a [MASK] of [mask]"], sequence_length=20)[0]
    assert WordPieceTokenizer(without).mask_token_id is None
