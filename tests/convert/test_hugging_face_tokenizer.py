"""vocab.txt, tokenizer.json and tokenizer_config.json agree, or one is named and refused."""

import json

import pytest

from keras_combiner.convert.hugging_face_tokenizer import read_hugging_face_tokenizer
from keras_combiner.convert.tokenizers import as_tokenizer
from keras_combiner.text import BertTokenizer

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "caf", "##é", "##e"]
VOCABULARY += ["Caf", "word", "##s", "漢", "."]
TEXTS = ["Café cafés CAFÉ", "word漢words. [x]", "Cafe\u0301 \u00adword", "wörds " * 3]


def lowered(vocabulary):
    return [x for x in vocabulary if x != "Caf"]


def tokenizer_json(vocabulary, **normalizer):
    return {
        "added_tokens": [{"id": i, "content": x} for i, x in enumerate(vocabulary[:6])],
        "normalizer": {"type": "BertNormalizer", "lowercase": False, **normalizer},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "vocab": {x: i for i, x in enumerate(vocabulary)},
        },
    }


def write(folder, vocabulary=None, tokenizer=None, **others):
    if vocabulary is not None:
        (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    if tokenizer is not None:
        others["tokenizer"] = tokenizer
    for name, content in others.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def changed(stored, key, value):
    *names, last = key.split(".")
    for name in names:
        stored = stored[name]
    if value is None:
        del stored[last]
    else:
        stored[last] = value


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip_accents", [None, True, False])
@pytest.mark.parametrize("files", ["all", "vocab.txt and tokenizer.json", "one"])
def test_the_ids_are_those_of_transformers(files, lowercase, strip_accents, tmp_path):
    transformers = pytest.importorskip("transformers")
    vocabulary = lowered(VOCABULARY) if lowercase else VOCABULARY
    write(tmp_path, vocabulary)
    theirs = transformers.BertTokenizer.from_pretrained(
        tmp_path, do_lower_case=lowercase, strip_accents=strip_accents
    )
    theirs.save_pretrained(tmp_path)
    if files != "all":
        (tmp_path / "tokenizer_config.json").unlink()
    if files == "one":
        (tmp_path / "vocab.txt").unlink()
    ours = read_hugging_face_tokenizer(tmp_path, 0)
    assert ours.encode(TEXTS).to_list() == theirs(TEXTS)["input_ids"]


def test_tokenizer_json_says_how_to_read_what_vocab_txt_lists(tmp_path):
    write(tmp_path, VOCABULARY, tokenizer_json(VOCABULARY))
    tokenizer = read_hugging_face_tokenizer(tmp_path, 0)
    assert tokenizer.lowercase is False
    assert tokenizer.encode(["Café"]).to_list() == [[2, 9, 7, 3]]


DISAGREEMENTS = {
    "case": (
        {"tokenizer_config": {"do_lower_case": True}},
        r"do_lower_case in .*tokenizer_config\.json is true and normalizer\.lowercase in "
        r".*tokenizer\.json is false",
    ),
    "accents": (
        {"tokenizer_config": {"do_lower_case": False, "strip_accents": True}},
        r"strip_accents in .*tokenizer_config\.json is true and normalizer\.strip_accents in .* is "
        "false",
    ),
    "Chinese": (
        {"tokenizer_config": {"tokenize_chinese_chars": False}},
        r"tokenize_chinese_chars in .* is false and normalizer\.handle_chinese_chars in .* is true",
    ),
    "order": (
        {"vocabulary": [*VOCABULARY[:6], *VOCABULARY[:5:-1]]},
        r"vocab\.txt and model\.vocab in .*tokenizer\.json disagree: the id 6 is '\.' and 'caf'",
    ),
    "length": (
        {"vocabulary": [*VOCABULARY, "more"]},
        "disagree: the id 14 is 'more' and nothing",
    ),
    "not a bool": (
        {"tokenizer_config": {"do_lower_case": "no"}},
        r'Expected do_lower_case in .*tokenizer_config\.json to be true or false\. Received: "no"',
    ),
    "broken": ({"special_tokens_map": []}, r"special_tokens_map\.json is not a JSON object"),
}


@pytest.mark.parametrize("case", DISAGREEMENTS)
def test_files_that_disagree_are_refused(case, tmp_path):
    files, words = DISAGREEMENTS[case]
    stored = tokenizer_json(VOCABULARY, strip_accents=False, handle_chinese_chars=True)
    write(tmp_path, **{"vocabulary": VOCABULARY, "tokenizer": stored, **files})
    with pytest.raises(ValueError, match=words):
        read_hugging_face_tokenizer(tmp_path, 0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("normalizer.type", "Lowercase"),
        ("normalizer.clean_text", False),
        ("normalizer", None),
        ("pre_tokenizer.type", "Whitespace"),
        ("model.unk_token", "<unk>"),
        ("model.continuing_subword_prefix", "@@"),
        ("model.max_input_chars_per_word", 200),
        ("model.type", "BPE"),
        ("model.vocab", {"[PAD]": 0, "a": 2}),
        ("added_tokens", [{"id": 14, "content": "<date>"}]),
    ],
)
def test_what_bert_does_not_do_is_refused_in_tokenizer_json(key, value, tmp_path):
    stored = tokenizer_json(VOCABULARY)
    changed(stored, key, value)
    write(tmp_path, VOCABULARY, stored)
    key = "normalizer.type" if value is None else key
    with pytest.raises(ValueError, match=rf"Expected {key} in .*tokenizer\.json .*pass `tokeni"):
        read_hugging_face_tokenizer(tmp_path, 0)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("tokenizer_config", "do_basic_tokenize", False),
        ("tokenizer_config", "never_split", ["word"]),
        ("tokenizer_config", "word_tokenizer_type", "mecab"),
        ("tokenizer_config", "subword_tokenizer_type", "character"),
        ("tokenizer_config", "tokenizer_class", "BertJapaneseTokenizer"),
        ("tokenizer_config", "cls_token", "<s>"),
        ("special_tokens_map", "unk_token", {"content": "<unk>", "normalized": False}),
        ("tokenizer_config", "additional_special_tokens", ["<date>"]),
        ("tokenizer_config", "added_tokens_decoder", {"14": {"content": "<date>"}}),
        ("added_tokens", "the tokens", None),
    ],
)
def test_what_bert_does_not_do_is_refused_elsewhere(name, key, value, tmp_path):
    content = {"<date>": 14} if value is None else {"do_lower_case": False, key: value}
    write(tmp_path, VOCABULARY, tokenizer_config={"do_lower_case": False})
    assert read_hugging_face_tokenizer(tmp_path, 0) is not None
    write(tmp_path, **{name: content})
    with pytest.raises(ValueError, match=rf"Expected {key} in .*{name}\.json .*pass `tokenizer`"):
        read_hugging_face_tokenizer(tmp_path, 0)


def test_a_cased_vocabulary_of_which_nothing_more_is_said(tmp_path):
    path = write(tmp_path, VOCABULARY) / "vocab.txt"
    words = r"has the piece 'Caf' \(id 9\).*BertTokenizer\(vocabulary, lowercase=False\)"
    for source in (path, str(path), VOCABULARY):
        with pytest.raises(ValueError, match=words):
            as_tokenizer(source)
    with pytest.raises(ValueError, match=words):
        read_hugging_face_tokenizer(tmp_path, 0)
    assert as_tokenizer(BertTokenizer(path, lowercase=False)).lowercase is False
    assert as_tokenizer(lowered(VOCABULARY)).lowercase is True
    write(tmp_path, tokenizer_config={"do_lower_case": True})  # as somebody trained it
    assert read_hugging_face_tokenizer(tmp_path, 0).lowercase is True


def test_no_word_pieces(tmp_path):
    assert read_hugging_face_tokenizer(tmp_path, 0) is None
    write(tmp_path, tokenizer={"model": {"type": "Unigram"}}, tokenizer_config={"cls_token": "<s>"})
    assert read_hugging_face_tokenizer(tmp_path, 0) is None


@pytest.mark.parametrize("option", [{"split_on_cjk": False}, {"oov_token": "word"}])
def test_tokenizers_of_keras_hub_that_split_otherwise(option):
    keras_hub = pytest.importorskip("keras_hub")
    source = keras_hub.tokenizers.WordPieceTokenizer(lowered(VOCABULARY), **option)
    with pytest.raises(ValueError, match=f"Expected a tokenizer with {next(iter(option))}="):
        as_tokenizer(source)
