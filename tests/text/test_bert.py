import unicodedata

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.text import BertTokenizer
from keras_combiner.text.bert_normalizer import BertNormalizer

TEXTS = [
    "The Quick brown fox, naïvely: “Café”!",
    "wait… ½ of it™ is ﬁne² № 5 \uff26\uff55\uff4c\uff4c",
    "İstanbul ΣΑΣ Σας Straße ǅ",
    "a\u200bb a\u00adb a\u00a0b a\u2028b tab\tnew\nline\r\x07bell \x00 nul \ufeff",
    "한국어 日本語のテキスト 中文字 हिन्दी עִבְרִית",
    "emoji 🤔🥰 private \ue000x\U000f0000 unassigned \u0378",
    "$5+2^3=`x`~|y| #tag @me <b>",
    "",
    "   ",
]


def tokenizers():
    return pytest.importorskip("tokenizers", reason="needs Hugging Face's tokenizers")


@pytest.fixture(scope="module")
def vocabulary():
    """All characters of the texts, as words and within words."""
    every = "".join(TEXTS)
    every += every.lower() + unicodedata.normalize("NFD", every.lower())
    characters = sorted({x for x in every if not x.isspace() and x.isprintable()})
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *characters, *(f"##{x}" for x in characters)]


@pytest.mark.parametrize(
    ("lowercase", "strip_accents"), [(True, None), (False, None), (True, False), (False, True)]
)
def test_ids_are_those_of_hugging_face(vocabulary, lowercase, strip_accents):
    hf = tokenizers()
    reference = hf.BertWordPieceTokenizer(
        {token: i for i, token in enumerate(vocabulary)},
        lowercase=lowercase,
        strip_accents=strip_accents,
    )
    tokenizer = BertTokenizer(vocabulary, lowercase, strip_accents)
    for text in TEXTS:
        assert tokenizer.encode([text], 200).to_list() == [reference.encode(text).ids], text


@pytest.mark.parametrize("lowercase", [True, False])
def test_every_character_is_normalized_as_by_hugging_face(lowercase):
    reference = tokenizers().normalizers.BertNormalizer(lowercase=lowercase)
    # What Unicode has assigned since the tables of the reference were made may differ.
    characters = [
        chr(code)
        for code in range(0x20000)
        if not 0xD800 <= code < 0xE000 and unicodedata.category(chr(code)) != "Cn"
    ]
    normalized = BertNormalizer(lowercase, lowercase).normalize(tf.constant(characters)).numpy()
    differing = [
        character
        for character, ours in zip(characters, normalized, strict=True)
        # Chinese characters get spaces there; here the next step splits at them.
        if ours.decode().strip() != reference.normalize_str(character).strip()
    ]
    assert len(differing) < 450
    assert not [x for x in differing if ord(x) < 0x7FD]


def test_offsets_name_the_bytes_of_the_text():
    tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cafe", "##s", "…", "한국"])
    text = "  Ca\u00adfés… 한국"
    _, starts, ends = tokenizer.encode_with_offsets([text], 20)
    data = text.encode()
    spans = [data[a:b].decode() for a, b in zip(starts[0].numpy(), ends[0].numpy(), strict=True)]
    assert spans[:4] == ["", "Ca\u00adfé", "s", "…"]
    assert starts.shape == ends.shape


def test_batches_and_graphs_give_the_same_ids(vocabulary):
    tokenizer = BertTokenizer(vocabulary)
    ids = tokenizer(TEXTS, sequence_length=30).numpy()
    each = np.concatenate([tokenizer([text], sequence_length=30).numpy() for text in TEXTS])
    np.testing.assert_array_equal(ids, each)
    signature = [tf.TensorSpec([None], tf.string)]
    traced = tf.function(lambda x: BertTokenizer(vocabulary)(x, 30), input_signature=signature)
    np.testing.assert_array_equal(traced(tf.constant(TEXTS)), ids)
    assert tokenizer([], sequence_length=30).shape == (0, 30)
    invalid = tokenizer([b"caf\xff\xfe"], sequence_length=30).numpy()
    assert invalid[0, 0] == 2 and invalid[0, -1] == 0


def test_config_round_trip(vocabulary):
    tokenizer = BertTokenizer(vocabulary, lowercase=False, strip_accents=True)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(tokenizer))
    assert type(copy) is BertTokenizer
    assert copy.get_config() == tokenizer.get_config()
    np.testing.assert_array_equal(copy(TEXTS, 30), tokenizer(TEXTS, 30))


def test_what_it_refuses(vocabulary):
    with pytest.raises(TypeError, match="`strip_accents` to be True, False or None"):
        BertTokenizer(vocabulary, strip_accents="yes")
    with pytest.raises(NotImplementedError, match="takes token ids"):
        BertTokenizer(vocabulary).encode_in_litert(tf.constant(["a"]), 5)
