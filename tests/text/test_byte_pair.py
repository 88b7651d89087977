import itertools
import random

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_combiner.text import BytePairTokenizer, WholeWordMasking
from keras_combiner.text.byte_pair_merges import BytePairMerges, byte_alphabet
from keras_combiner.text.byte_pair_words import word_starts

SPECIALS = ["<pad>", "<s>", "</s>", "<mask>"]
MERGES = ["Ġ t", "h e", "Ġt he", "a a", "aa aa", "Ġ Ġ"]
VOCABULARY = [*SPECIALS, *byte_alphabet(), *("".join(x.split()) for x in MERGES)]
ADDED = ["</s>", {"content": "<mask>", "lstrip": True}, "<pad>"]


def make(**options):
    options = {"mask_token": "<mask>", "added_tokens": ADDED, **options}
    vocabulary, merges = options.pop("vocabulary", VOCABULARY), options.pop("merges", MERGES)
    return BytePairTokenizer(vocabulary, merges, "<s>", "</s>", **options)


TOKENIZER = make()


def in_graph(function):
    """Op by op, all of it takes a tenth of a second."""
    return tf.function(function, [tf.TensorSpec([None], tf.string)], autograph=False)


ENCODE = in_graph(TOKENIZER.encode)


def tokens(text, tokenizer=TOKENIZER, encode=ENCODE):
    text = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    row = encode(tf.constant([text])).to_list()[0]
    assert (row[0], row[-1]) == (1, 2)
    return [tokenizer.vocabulary[x] for x in row[1:-1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("the the", ["t", "he", "Ġthe"]),
        (" \n", ["Ġ", "Ċ"]),
        ("   the", ["ĠĠ", "Ġthe"]),
        ("aaaaaaa", ["aaaa", "aa", "a"]),
        ("\0\0", ["Ā", "Ā"]),
        ("é", ["Ã", "©"]),
        (b"\xff", ["ï", "¿", "½"]),
        ("\ud800", ["ï", "¿", "½"] * 3),
        ("a</s></s>", ["a", "</s>", "</s>"]),
        ("<s>", ["<", "s", ">"]),  # Which is not among those that are looked for.
        ("a \n<mask> a", ["a", "<mask>", "Ġ", "a"]),
        ("</s>\0<pad>", ["</s>", "Ā", "<pad>"]),
    ],
)
def test_tokens(text, expected):
    assert tokens(text) == expected


def words(text):
    characters = tf.constant([ord(x) for x in text], tf.int32)
    starts = word_starts(characters, tf.range(len(text)) == 0).numpy()
    return "".join("|" * int(start) + x for start, x in zip(starts, text, strict=True))


@pytest.mark.parametrize(
    "marked",
    [
        "",
        "|Hello| world|!",
        "|x|  | 2| ½²|a| ४|.",
        "|a|  ",
        "|a| | b|\n|c|\t\n|\n|d",
        "|I|'ve|'s|t| '|s|.'|s",
        "|'t|is|'",
        "|'re|'|r|'ll|l|'|L",
        "|a|\u3000|b|\u00a0|\u2028|c",
        "|漢字| ह|ि|न|्|द|ी",
        "|👨\u200d👩| 👧",
    ],
)
def test_words(marked):
    assert words(marked.replace("|", "")) == marked


def merged(word, ranks):
    """One merge after another, of the lowest rank and of these the one further left."""
    symbols = [*word]
    while True:
        pairs = [(ranks.get(x), i) for i, x in enumerate(itertools.pairwise(symbols))]
        pairs = [x for x in pairs if x[0] is not None]
        if not pairs:
            return symbols
        _, i = min(pairs)
        symbols[i : i + 2] = ["".join(symbols[i : i + 2])]


@st.composite
def learned(draw):
    """Merges in an order in which they may have been learned."""
    letters = "abc"[: draw(st.integers(1, 3))]
    seed = draw(st.integers(0, 2**32))
    generator = random.Random(seed)
    known, merges, used = [*letters], [], set()
    for _ in range(draw(st.integers(0, 40))):
        pair = generator.choice(known), generator.choice(known)
        made = "".join(pair)
        if pair in merges or made in used or len(made) > 12:
            continue
        merges.append(pair)
        used.update(pair)
        known.append(made)
    return letters, merges


@settings(max_examples=2 * settings.default.max_examples)
@given(learned(), st.data())
def test_merges_many_at_a_time_as_one_after_another(case, data):
    letters, merges = case
    texts = st.one_of(
        st.text(letters, max_size=60),
        st.tuples(st.text(letters, max_size=4), st.integers(1, 30)).map(lambda x: x[0] * x[1]),
    )
    drawn = data.draw(st.lists(texts, max_size=8))
    vocabulary = [*byte_alphabet(), *dict.fromkeys("".join(x) for x in merges)]
    rows = BytePairMerges(vocabulary, merges)(tf.constant(drawn, tf.string)).to_list()
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    assert [[vocabulary[x] for x in row] for row in rows] == [merged(x, ranks) for x in drawn]


def test_normalization_and_what_is_looked_for_after_it():
    added = [{"content": "e\u0301", "normalized": True}, "</s>"]
    tokenizer = make(vocabulary=[*VOCABULARY, "e\u0301"], added_tokens=added, normalization="NFC")
    encode = in_graph(tokenizer.encode)
    assert tokens("\u212b</s>", tokenizer, encode) == ["Ã", "ħ", "</s>"]
    assert tokens("x\u00e9e\u0301", tokenizer, encode) == ["x", "e\u0301", "e\u0301"]


def test_decodes_bytes_and_added_tokens():
    rows = TOKENIZER.encode(["the é 漢<mask>\0"]).to_list()
    assert TOKENIZER.decode(rows) == ["the é 漢<mask>\0"]
    assert TOKENIZER.decode([rows[0][:5]]) == ["the \ufffd"]  # Half of an é.


def test_words_stand_between_white_space():
    in_words, goes_on = TOKENIZER.words()
    of = {token: i for i, token in enumerate(VOCABULARY)}
    kinds = {x: (bool(in_words[of[x]]), bool(goes_on[of[x]])) for x in VOCABULARY}
    assert [kinds[x] for x in SPECIALS] == [(False, False)] * 4
    assert [kinds[x] for x in ("Ġ", "Ċ", "ĠĠ")] == [(False, False)] * 3
    assert [kinds[x] for x in ("Ġt", "Ġthe")] == [(True, False)] * 2
    assert [kinds[x] for x in ("he", "!", "Ã")] == [(True, True)] * 3
    # All tokens of a word are chosen, or none.
    ids = TOKENIZER(["aa! (the) xyz " * 10], 120)
    _, targets = WholeWordMasking(TOKENIZER, 0.3)(ids, [[0, 0]])
    chosen = np.where(targets, targets, of["Ċ"])
    assert {*TOKENIZER.decode(chosen)[0].split()} == {"aa!", "(the)", "xyz"}


def test_a_saved_model_takes_texts(tmp_path):
    module = tf.Module()
    module.serve = in_graph(lambda texts: TOKENIZER(texts, 9))
    tf.saved_model.save(module, tmp_path)
    texts = ["the</s> aaaaa", "", "\0", b"\xff"]
    served = tf.saved_model.load(tmp_path).serve(tf.constant(texts)).numpy()
    assert served.tolist() == TOKENIZER(texts, 9).numpy().tolist()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"vocabulary": [*VOCABULARY, "he"]}, ValueError, "once.*'he' at 266"),
        ({"vocabulary": [*VOCABULARY, ""]}, ValueError, "empty.* at 266"),
        ({"vocabulary": [*VOCABULARY, None]}, TypeError, "str. Received at 266: None"),
        ({"vocabulary": [x for x in VOCABULARY if x not in "!?"]}, ValueError, r"lacks 2.*: ! \?"),
        (
            {"vocabulary": VOCABULARY[2:], "added_tokens": []},
            ValueError,
            "`start_token` to be in .*Received: '<s>'",
        ),
        (
            {"vocabulary": ["a", *SPECIALS[1:]], "added_tokens": []},
            ValueError,
            "id 0.*there 'a'",
        ),
        ({"merges": ["a b"]}, ValueError, "hold 'ab', of the merge 'a' 'b'"),
        ({"merges": ["a"]}, ValueError, "a blank between them. Received: 'a'"),
        ({"merges": [("h ", "e")]}, ValueError, r"Received: \('h ', 'e'\)"),
        ({"merges": ["h e", "h e"]}, ValueError, "'h' 'e' with the ranks 0 and 1"),
        ({"merges": ["Ġt he", "h e"]}, ValueError, "rank 0 has the part 'he', which rank 1 makes"),
        ({"mask_token": "[MASK]"}, ValueError, "`mask_token` to be in .*Received: '\\[MASK\\]'"),
        ({"normalization": "NFKC"}, ValueError, "NFC or None. Received: 'NFKC'"),
        ({"added_tokens": [3]}, TypeError, "str or dict. Received: 3"),
        ({"added_tokens": ["<x>"]}, ValueError, "of the vocabulary.*Received: '<x>'"),
        ({"added_tokens": ["<s>", "<s>"]}, ValueError, "once. Received '<s>' twice"),
        ({"added_tokens": [{"content": "<s>", "id": 1}]}, ValueError, "Received: id, of '<s>'"),
        (
            {"vocabulary": [*VOCABULARY, "\n"], "added_tokens": [*ADDED, "\n"]},
            ValueError,
            r"'<mask>' takes in what is beside it. Received: '\\n'",
        ),
    ],
)
def test_refuses(options, error, said):
    with pytest.raises(error, match=said):
        make(**options)
