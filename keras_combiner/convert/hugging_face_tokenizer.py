"""The tokenizer out of a Hugging Face checkpoint directory, whose files have to agree."""

import json
import re

from keras_combiner.convert.byte_pair_files import is_byte_pairs, read_byte_pairs
from keras_combiner.convert.encoder_weights import swap_with_first
from keras_combiner.convert.json_file import REMEDY, JsonFile
from keras_combiner.convert.tokenizers import check_uncased
from keras_combiner.text import BertTokenizer
from keras_combiner.text.tensorflow_text_ops import SUFFIX_INDICATOR, UNKNOWN_TOKEN
from keras_combiner.text.wordpiece import (
    END_TOKEN,
    MASK_TOKEN,
    PAD_TOKEN,
    START_TOKEN,
    read_vocabulary,
)

VOCABULARY = "vocab.txt"
TOKENIZER = "tokenizer.json"
CONFIG = "tokenizer_config.json"

_SPECIAL_TOKENS = {
    "pad_token": PAD_TOKEN,
    "unk_token": UNKNOWN_TOKEN,
    "cls_token": START_TOKEN,
    "sep_token": END_TOKEN,
    "mask_token": MASK_TOKEN,
}
# Tokenizers of transformers that do what BERT's does; a name without "Fast" stands for both.
_CLASSES = (
    *("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer"),
    *("PreTrainedTokenizer", "TokenizersBackend"),
)
# Other options that the files may hold, with the only values that BERT's tokenizer supports.
_OF_CONFIG = {
    "do_basic_tokenize": (True,),
    "never_split": (None, []),
    "word_tokenizer_type": (None, "basic"),
    "subword_tokenizer_type": (None, "wordpiece"),
}
_OF_TOKENIZER = {
    "normalizer.type": ("BertNormalizer",),
    "normalizer.clean_text": (True,),
    "pre_tokenizer.type": ("BertPreTokenizer",),
    "model.unk_token": (UNKNOWN_TOKEN,),
    "model.continuing_subword_prefix": (SUFFIX_INDICATOR,),
    "model.max_input_chars_per_word": (100,),
}
# No text has them, unless a model was trained with them.
_UNUSED = re.compile(r"\[unused\d+\]")


def read_hugging_face_tokenizer(folder, pad_token_id):
    """Reads the files of a tokenizer, as far as they are there.

    Word pieces are read from vocab.txt, tokenizer.json and tokenizer_config.json; byte pairs as
    `read_byte_pairs` says.

    Args:
        folder: `pathlib.Path` of the directory.
        pad_token_id: int, the id of the padding; its place in the vocabulary becomes 0.

    Returns:
        `BertTokenizer` or `BytePairTokenizer`; None if there is no vocabulary, or neither word
        pieces nor byte pairs, as in CamemBERT.

    Raises:
        ValueError: if the files disagree, or ask for what BERT's tokenizer does not do; the message
            names the file and the key.
    """
    config, tokenizer = JsonFile(folder / CONFIG), JsonFile(folder / TOKENIZER)
    if is_byte_pairs(folder) and not (folder / VOCABULARY).exists():
        return read_byte_pairs(folder, pad_token_id)
    vocabularies = []
    if (folder / VOCABULARY).exists():
        vocabularies.append((read_vocabulary(folder / VOCABULARY), folder / VOCABULARY))
    if tokenizer.get("model.type", "WordPiece") != "WordPiece":
        if not vocabularies:
            return None
        raise tokenizer.error("model.type", f"WordPiece, since there is a {VOCABULARY}")
    if tokenizer.content:
        vocabularies.append((_pieces(tokenizer), tokenizer.path))
    if not vocabularies:
        return None
    vocabulary = _agreed_vocabulary(vocabularies)
    _check(config, tokenizer, folder)
    lowercase = _agreed(
        (config, "do_lower_case"), (tokenizer, "normalizer.lowercase"), default=None
    )
    if lowercase is None:
        check_uncased(vocabulary, vocabularies[0][1])
        lowercase = True
    strip_accents = _agreed(
        (config, "strip_accents"),
        (tokenizer, "normalizer.strip_accents"),
        default=lowercase,
        none=lowercase,
    )
    if not _agreed(
        (config, "tokenize_chinese_chars"),
        (tokenizer, "normalizer.handle_chinese_chars"),
        default=True,
    ):
        raise ValueError(
            "Expected a tokenizer that makes every Chinese character a word, as BERT's does. The "
            f"one in {folder} does not: tokenize_chinese_chars in {CONFIG}, or "
            f"normalizer.handle_chinese_chars in {TOKENIZER}, is false. {REMEDY}"
        )
    if strip_accents == lowercase:
        strip_accents = None  # the default, which means the same
    return BertTokenizer(
        swap_with_first(vocabulary, pad_token_id), lowercase=lowercase, strip_accents=strip_accents
    )


def _pieces(tokenizer):
    """The vocabulary of tokenizer.json in the order of the ids."""
    ids = tokenizer.get("model.vocab")
    if not isinstance(ids, dict) or sorted(ids.values()) != list(range(len(ids))):
        raise ValueError(
            f"Expected model.vocab in {tokenizer.path} to be word pieces with ids from 0 on, none "
            f"left out. {REMEDY}"
        )
    return sorted(ids, key=ids.get)


def _agreed_vocabulary(vocabularies):
    vocabulary, path = vocabularies[0]
    for other, other_path in vocabularies[1:]:
        if other == vocabulary:
            continue
        place = next(
            (i for i, (x, y) in enumerate(zip(vocabulary, other, strict=False)) if x != y),
            min(len(vocabulary), len(other)),
        )
        first, second = (
            repr(x[place]) if place < len(x) else "nothing" for x in (vocabulary, other)
        )
        raise ValueError(
            f"{path} and model.vocab in {other_path} disagree: the id {place} is {first} and "
            f"{second}. Remove the file that is not the model's, or pass `tokenizer`."
        )
    return vocabulary


def _agreed(*claims, default, none=None):
    """The value that files give an option; `none` is what null stands for."""
    said = []
    for file, key in claims:
        value = file.get(key)
        if value is None:
            value = none if file.has(key) else None
        elif not isinstance(value, bool):
            raise file.error(key, "true or false")
        if value is not None:
            said.append((value, f"{key} in {file.path}"))
    for value, where in said[1:]:
        if value != said[0][0]:
            raise ValueError(
                f"{said[0][1]} is {json.dumps(said[0][0])} and {where} is {json.dumps(value)}. "
                "Make them agree with what the model was trained with, or pass `tokenizer`."
            )
    return said[0][0] if said else default


def _check(config, tokenizer, folder):
    """Refuses what BERT's tokenizer does not do."""
    for file, expected in ((config, _OF_CONFIG), (tokenizer, _OF_TOKENIZER)):
        for key, values in expected.items():
            default = None if key.endswith(".type") and file.content else values[0]
            if file.get(key, default) not in values:
                raise file.error(key, json.dumps(values[-1]))
    name = str(config.get("tokenizer_class") or _CLASSES[0]).removesuffix("Fast")
    if not tokenizer.content and name not in _CLASSES:  # which says itself what it does
        raise config.error("tokenizer_class", f"one of {', '.join(_CLASSES)}")
    special = JsonFile(folder / "special_tokens_map.json")
    for file in (config, special):
        for key, expected in _SPECIAL_TOKENS.items():
            if _content(file.get(key, expected)) not in (None, expected):
                raise file.error(key, json.dumps(expected))
    added = JsonFile(folder / "added_tokens.json")
    for file, key, tokens in (
        (tokenizer, "added_tokens", tokenizer.get("added_tokens")),
        (config, "added_tokens_decoder", config.get("added_tokens_decoder")),
        (config, "additional_special_tokens", config.get("additional_special_tokens")),
        (special, "additional_special_tokens", special.get("additional_special_tokens")),
        (added, "the tokens", [*added.content]),
    ):
        _check_added(file, key, tokens)


def _check_added(file, key, tokens):
    tokens = [*tokens.values()] if isinstance(tokens, dict) else tokens or []
    for token in map(_content, tokens):
        if token not in _SPECIAL_TOKENS.values() and not _UNUSED.fullmatch(str(token)):
            raise ValueError(
                f"Expected {key} in {file.path} to be BERT's special tokens. Received: {token!r}, "
                f"which would have to be found in texts before they are split. {REMEDY}"
            )


def _content(token):
    """A token, which may stand with its options."""
    return token.get("content") if isinstance(token, dict) else token
