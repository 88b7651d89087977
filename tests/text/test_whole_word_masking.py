"""Whole-word masking: what is chosen, what becomes of it, and what it is a function of."""

import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.text import ByteTokenizer, Tokenizer, WholeWordMasking, WordPieceTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]"]
NUM_STARTS, NUM_PIECES = 300, 100
VOCABULARY = [
    *SPECIALS,
    *(f"w{i}" for i in range(NUM_STARTS)),
    *(f"##p{i}" for i in range(NUM_PIECES)),
]
MASK = 4
TOKENIZER = WordPieceTokenizer(VOCABULARY)


def rows(count, length, seed=0):
    """Rows as of a tokenizer, with padding behind and unknown words in between."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(len(SPECIALS), len(VOCABULARY), size=(count, length))
    ids[generator.random(ids.shape) < 0.1] = 1
    ids[:, 0] = 2
    for row, end in zip(ids, generator.integers(2, length + 1, size=count), strict=True):
        row[end - 1], row[end:] = 3, 0
    return ids.astype("int32")


def keys(count, epoch=0):
    return np.stack([np.full(count, epoch), np.arange(count)], axis=1)


def words_of(row):
    """The places of each word, in plain Python: a start piece and what follows with ##."""
    words, open_word = [], False
    for place, token in enumerate(VOCABULARY[i] for i in row):
        is_special = token in SPECIALS
        if not is_special and token.startswith("##") and open_word:
            words[-1].append(place)
        elif not is_special:
            words.append([place])
        open_word = not is_special
    return words


def masked(token_ids, seed=0, share=0.15, row_keys=None):
    """Ids and targets, made in a graph as data sets do; a hundred rows take a second without."""
    masking = WholeWordMasking(TOKENIZER, share, seed)
    in_graph = tf.function(lambda *arguments: masking(*arguments), autograph=False)
    row_keys = keys(len(token_ids)) if row_keys is None else row_keys
    return [x.numpy() for x in in_graph(token_ids, row_keys)]


@pytest.mark.parametrize("share", [0.05, 0.15, 0.5, 0.99])
def test_whole_words_are_chosen_and_as_many_as_asked_for(share):
    token_ids = rows(60, 70)
    hidden, targets = masked(token_ids, share=share)
    for row, after, target in zip(token_ids, hidden, targets, strict=True):
        words = words_of(row)
        chosen = [word for word in words if target[word].any()]
        assert len(chosen) == (max(1, round(np.float32(share) * len(words))) if words else 0)
        places = sorted(place for word in chosen for place in word)
        # Targets are the ids of whole words and stand nowhere else, where nothing changes.
        np.testing.assert_array_equal(np.flatnonzero(target), places)
        np.testing.assert_array_equal(target[places], row[places])
        elsewhere = np.setdiff1d(np.arange(len(row)), places)
        np.testing.assert_array_equal(after[elsewhere], row[elsewhere])


def test_special_tokens_are_never_chosen_and_never_put_in():
    token_ids = rows(200, 60)
    hidden, targets = masked(token_ids, share=0.9)
    is_special = token_ids < len(SPECIALS)
    assert not targets[is_special].any()
    np.testing.assert_array_equal(hidden[is_special], token_ids[is_special])
    assert set(np.unique(hidden[~is_special])) & set(range(len(SPECIALS))) == {MASK}


def test_of_the_chosen_words_8_in_10_are_masked_1_is_random_and_1_stays():
    token_ids = rows(400, 120, seed=1)
    hidden, targets = masked(token_ids, share=0.3)
    fates = {"mask": 0, "random": 0, "stays": 0}
    put_in = []
    for row, after, target in zip(token_ids, hidden, targets, strict=True):
        for word in words_of(row):
            if not target[word].any():
                continue
            if (after[word] == MASK).all():
                fates["mask"] += 1
            elif (after[word] == row[word]).all():
                fates["stays"] += 1
            else:
                assert MASK not in after[word]  # all pieces of a word share its fate
                fates["random"] += 1
                put_in.extend(after[word])
    total = sum(fates.values())
    assert total > 3000
    # Within four standard deviations.
    for fate, share in (("mask", 0.8), ("random", 0.1), ("stays", 0.1)):
        assert abs(fates[fate] / total - share) < 4 * np.sqrt(share * (1 - share) / total)
    # Random tokens come from all of the vocabulary.
    assert len(set(put_in)) > 0.5 * min(len(put_in), NUM_STARTS + NUM_PIECES)
    assert np.mean(put_in) == pytest.approx(len(VOCABULARY) / 2, rel=0.15)


def test_chance_is_a_function_of_seed_epoch_and_document_alone():
    token_ids = rows(12, 50)
    masking = WholeWordMasking(TOKENIZER, 0.3, seed=7)
    whole = [x.numpy() for x in masking(token_ids, keys(12))]
    # Beside others, in another order, with more padding, and inside of a data set.
    order = [5, 2, 9]
    wider = np.pad(token_ids[order], [[0, 0], [0, 13]])
    dataset = tf.data.Dataset.from_tensors((wider, keys(12)[order])).map(masking)
    for some in (masking(wider, keys(12)[order]), next(iter(dataset))):
        for one, other in zip(whole, some, strict=True):
            np.testing.assert_array_equal(other[:, :50], one[order])
            assert not np.any(other[:, 50:])
    different = [masked(token_ids, 8, 0.3)[1], masked(token_ids, 7, 0.3, keys(12, epoch=1))[1]]
    different.append(masking(token_ids, keys(13)[1:])[1].numpy())
    for other in different:
        assert (whole[1] != other).any()
    # No row has the masks of another.
    same = np.tile(token_ids[:1], [20, 1])
    assert len(np.unique(masked(same, share=0.3)[1], axis=0)) > 10


def test_every_word_is_hidden_in_some_epoch():
    token_ids = np.array([[2, *range(6, 26), 3]], "int32")
    of_epochs = np.stack([np.arange(60), np.zeros(60, int)], axis=1)
    seen = masked(np.tile(token_ids, [60, 1]), row_keys=of_epochs)[1] != 0
    assert (seen.sum(0) > 0).tolist() == [False, *[True] * 20, False]
    assert (seen.sum(1) == 3).all()


def test_rows_without_a_word_are_left_alone():
    token_ids = np.array([[2, 3, 0, 0], [2, 1, 3, 0], [2, 7, 3, 0]], "int32")
    hidden, targets = masked(token_ids)
    np.testing.assert_array_equal(targets, [[0] * 4, [0] * 4, [0, 7, 0, 0]])
    np.testing.assert_array_equal(hidden[:2], token_ids[:2])


def test_a_word_may_begin_in_its_middle():
    # As the second part of a long document does.
    piece = VOCABULARY.index("##p0")
    _, targets = masked(np.array([[2, piece, piece, 3]], "int32"))
    np.testing.assert_array_equal(targets, [[0, piece, piece, 0]])


def test_bytes_are_words_between_white_space():
    tokenizer = ByteTokenizer(mask_token=True)
    text = b"It is,  as they say,\ta long\nway. "
    token_ids = tokenizer([text] * 50, sequence_length=40).numpy()
    hidden, targets = WholeWordMasking(tokenizer, 0.3)(token_ids, keys(50))
    hidden, targets = hidden.numpy(), targets.numpy()
    words = set()
    for row in targets:
        joined = "".join(chr(x - 3) if x else " " for x in row)
        assert len(joined.split()) == 2 or " ".join(joined.split()) in text.decode()
        words.update(joined.split())
    assert {"It", "is,", "say,", "long", "way."} <= words
    assert set(np.unique(hidden[targets == 0])) <= set(np.unique(token_ids))
    assert (hidden == tokenizer.mask_token_id).any() and hidden.max() == 259
    assert tokenizer.decode([[1, 75, 259, 2]]) == ["H[MASK]"]
    assert ByteTokenizer.from_config(tokenizer.get_config()).mask_token_id == 259
    assert ByteTokenizer().mask_token_id is None and ByteTokenizer().vocabulary_size == 259


@pytest.mark.parametrize(
    ("tokenizer", "options", "words"),
    [
        (WordPieceTokenizer([*SPECIALS[:4], "a"]), {}, "has no mask token.*mask_token=True"),
        (ByteTokenizer(), {}, "ByteTokenizer, has no mask token"),
        (TOKENIZER, {"masked_share": 0}, "`masked_share` must be a number above 0 and below 1"),
        (TOKENIZER, {"masked_share": 1.0}, "Received: 1.0"),
        (TOKENIZER, {"seed": -1}, "`seed` must be an int of at least 0"),
    ],
)
def test_what_it_refuses(tokenizer, options, words):
    with pytest.raises(ValueError, match=words):
        WholeWordMasking(tokenizer, **options)


def test_a_tokenizer_that_knows_no_words():
    with pytest.raises(NotImplementedError, match="give it a method `words`"):
        Tokenizer.words(ByteTokenizer())
    with pytest.raises(TypeError, match="`mask_token` to be True or False"):
        ByteTokenizer(mask_token=1)
