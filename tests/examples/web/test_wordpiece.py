"""The page's tokenizer gives the ids of the one in the graph, on everything."""

import random
import unicodedata
from pathlib import Path

import pytest

from keras_combiner.datasets import load_sotu_era
from keras_combiner.text import BertTokenizer, WordPieceTokenizer

ROOT = Path(__file__).parents[3]
VOCABULARY = (ROOT / "saved_models/sotu_era/vocab.txt").read_text(encoding="utf-8").split()
# Beside learned pieces: some that never match, and characters that normalization makes.
ODD_PIECES = ["...", "##.", "é", "##\u0301", "\ufffd", "##\ufffd", "A", "##B", "ss", "漢", "##漢"]
ODD_PIECES += ["\u03b1", "##\u03c3", "\u1100", "##\u1161", "u.s", "##S", "\u0131", "क", "##\u093f"]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
TEXTS = {
    "empty": "",
    "white space": " \t\r\n\x0b\x0c\u2028\u3000",
    "greek": "ΟΔΟΣ Σίσυφος ᾠδή \u0345",
    "german and turkish": "STRASSE Straße ẞ \u0130stanbul \u0131s\u0131 ŒUVRE ﬁnal",
    "russian": "Ёлка Съешь ещё этих мягких французских булок",
    "arabic and hebrew": "مرحبا بالعالم \u064b\u0640 שָׁלוֹם",
    "hindi and thai": "हिन्दी में क्षि สวัสดีชาวโลก",
    "chinese and japanese": "漢字と仮名 日本語、カタカナ ｶﾞ ㍿ 𠀀 豈",
    "korean": "한국어 \u1112\u1161\u11ab",
    "cherokee and armenian": "ᎠᏂᏴᏫᏯ ꭰꮒ և ﬗ",
    "emoji": "👩\u200d👩\u200d👧 🇩🇪 1\ufe0f\u20e3 ❤\ufe0f 👍🏽 a👍b",
    "combining marks": "e\u0301 é a\u0300\u0301\u0302 \u0301 \u20dd",
    "compatibility": "½ ㎒ ① \uff21\uff42 ⅷ ™ ª \u017f \u212a \u212b",
    "controls": "a\0b\x01c\x1cd\x7fe\x85f\u200bg\u200eh\u00adi\ufeffj\u2060k",
    "lone surrogates": "\ud800x x\udfff y\udc00\ud800z \ud800",
    "replacement": "\ufffd a\ufffdb",
    "private and unassigned": "\ue000 \uffff \U0010ffff",
    "special tokens": "[CLS] [PAD] ##er [UNK",
    "long words": " ".join(["a" * 100, "a" * 101, "é" * 50, "é" * 51, "漢" * 40]),
    "punctuation": "U.S. it's—well… $5 + 3 `x` ^~ ¿qué? «no» _a_ 50°",
}


@pytest.fixture(scope="module")
def assert_equal(javascript_ids):
    """Compares the ids of texts with those of tensorflow-text, folding case and not."""
    vocabulary = [*VOCABULARY, *(piece for piece in ODD_PIECES if piece not in VOCABULARY)]

    def compare(texts, vocabulary=vocabulary, lowercase=(True, False)):
        for each in lowercase:
            tokenizer = WordPieceTokenizer(vocabulary, each)
            rows = javascript_ids("\n".join(vocabulary), each, texts)
            expected = tokenizer.encode(texts, 1_000_000).to_list()
            for text, row, framed in zip(texts, rows, expected, strict=True):
                assert row == framed[1:-1], repr(text[:200])

    return compare


def test_alphabets_and_oddities(assert_equal):
    assert_equal(list(TEXTS.values()))


@pytest.mark.parametrize("step", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_documents(assert_equal, step):
    texts = [document.text for document in load_sotu_era("test")][::step]
    assert_equal(texts, VOCABULARY, lowercase=[True])


def test_random_texts(assert_equal):
    random_numbers = random.Random(0)
    code_points = range(0x32000)
    known = [chr(c) for c in code_points if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    # Half of the characters from those that matter: separators, joiners, letters of pieces.
    frequent = "abcdeghinorstuUS.,'#$[] \t\n\0\x1c\x85\xa0éß\u0130\u017f漢한\u0301\u200d\ufffd"
    pools = (known, frequent)
    texts = [
        "".join(random_numbers.choice(random_numbers.choice(pools)) for _ in range(60))
        for _ in range(300)
    ]
    assert_equal(texts)


@pytest.mark.parametrize("lowercase", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_every_code_point(javascript_ids, lowercase):
    # "a" + character + "b" tells what the character does: vanish (ab), separate (a b), stand alone
    # (a [UNK] b), become part of the word ([UNK]) or turn into letters of the vocabulary.
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.", "\u1100", "\u03b1", "\u03c9", "\u03c3"]
    joined = ["##" + letter for letter in letters if letter != "."]
    vocabulary = [*SPECIALS, *letters, *joined]
    code_points = [*range(0xD800), *range(0xE000, 0x33500), *range(0xE0000, 0xE1000)]
    texts = [f"a{chr(c)}b" for c in code_points]
    rows = javascript_ids("\n".join(vocabulary), lowercase, texts)
    expected = WordPieceTokenizer(vocabulary, lowercase).encode(texts, 64).to_list()
    different = [
        c for c, row, framed in zip(code_points, rows, expected, strict=True) if row != framed[1:-1]
    ]
    # Where node's Unicode is not tensorflow-text's: characters that this Python, older than both,
    # does not know, and a sign of Ahom that Unicode 17 no longer counts as an accent.
    different = set(different) - {0x1171E}
    assert {unicodedata.category(chr(c)) for c in different} <= {"Cn"}


@pytest.mark.parametrize(
    ("lowercase", "strip_accents"),
    [pytest.param(True, None, marks=pytest.mark.slow), (False, True)],
)
def test_every_code_point_as_bert(javascript_ids, lowercase, strip_accents):
    letters = [
        *"abcdefghijklmnopqrstuvwxyzAE0123456789.½…²ﬁ™éßσςΣİ漢",
        "\u0301",
        "\u0307",
        "\u1100",
    ]
    vocabulary = [*SPECIALS, *letters, *(f"##{x}" for x in letters)]
    known = [
        f"a{chr(c)}b"
        for c in [*range(0xD800), *range(0xE000, 0x33500), *range(0xE0000, 0xE1000)]
        # A sign of Ahom that Unicode 17 no longer counts as an accent.
        if unicodedata.category(chr(c)) != "Cn" and c != 0x1171E
    ]
    texts = [" ".join(known[i : i + 2000]) for i in range(0, len(known), 2000)]
    texts += TEXTS.values()
    rules = {"normalization": "bert", "stripAccents": strip_accents}
    rows = javascript_ids("\n".join(vocabulary), lowercase, texts, rules)
    tokenizer = BertTokenizer(vocabulary, lowercase, strip_accents)
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    for text, row, framed in zip(texts, rows, tokenizer.encode(raw).to_list(), strict=True):
        assert row == framed[1:-1], text[:40]


def test_the_vocabulary_tells_whether_case_is_folded(javascript_ids):
    texts = ["A É a"]
    for vocabulary in (["a", "e"], ["[MASK]", "a", "e"], ["a", "A"], ["a", "É"]):
        is_folded = "e" in vocabulary
        text = "\n".join([*SPECIALS, *vocabulary])
        assert javascript_ids(text, None, texts) == javascript_ids(text, is_folded, texts)


def test_line_ends_of_windows(javascript_ids):
    assert javascript_ids("\r\n".join([*SPECIALS, "a", ""]), True, ["a"]) == [[4]]


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["[PAD]", "[UNK]", "a"], "lacks [CLS], [SEP]"),
        (["a", *SPECIALS], "[PAD] on its first line"),
        ([*SPECIALS, "a", "a"], 'the token "a" twice'),
    ],
)
def test_refuses_other_vocabularies(javascript_ids, tokens, words):
    with pytest.raises(AssertionError) as error:
        javascript_ids("\n".join(tokens), True, [])
    assert words in str(error.value)
