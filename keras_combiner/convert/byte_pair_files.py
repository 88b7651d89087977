"""The byte pairs of a Hugging Face checkpoint directory: RoBERTa's, Longformer's, ModernBERT's."""

import json

from keras_combiner.convert.encoder_weights import swap_with_first
from keras_combiner.convert.json_file import REMEDY, JsonFile
from keras_combiner.text import BytePairTokenizer

TOKENIZER = "tokenizer.json"
CONFIG = "tokenizer_config.json"
SPECIAL = "special_tokens_map.json"
VOCABULARY = "vocab.json"
MERGES = "merges.txt"
# What makes byte pairs with no tokenizer.json beside them.
_CLASSES = ("RobertaTokenizer", "LongformerTokenizer")
_ROBERTA = {
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
    "unk_token": "<unk>",
}
# What ids hang on, and the values with which they are understood; the first if it is left out.
_OF_MODEL = {
    "dropout": (None, 0, 0.0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (False,),
    "ignore_merges": (False,),
}
_OF_PRE_TOKENIZER = {"add_prefix_space": (False,), "use_regex": (True,)}
_OPTIONS = ("lstrip", "rstrip", "normalized", "single_word")


def is_byte_pairs(folder):
    """Says whether a directory has the files of a tokenizer with byte pairs.

    Args:
        folder: `pathlib.Path`.

    Returns:
        bool.
    """
    if (folder / TOKENIZER).exists():
        return JsonFile(folder / TOKENIZER).get("model.type") == "BPE"
    return (folder / VOCABULARY).exists() and (folder / MERGES).exists()


def read_byte_pairs(folder, pad_token_id):
    """Reads tokenizer.json, or vocab.json and merges.txt, with tokenizer_config.json beside them.

    Args:
        folder: `pathlib.Path` of the directory.
        pad_token_id: int, the id of the padding; its place in the vocabulary becomes 0.

    Returns:
        `BytePairTokenizer`.

    Raises:
        ValueError: if the files disagree, or ask for what that tokenizer does not do; the message
            names the file and the key.
    """
    config, special = JsonFile(folder / CONFIG), JsonFile(folder / SPECIAL)
    tokenizer = JsonFile(folder / TOKENIZER)
    if not tokenizer.content:
        tokenizer = _from_vocab_json(folder, config, special)
    _check_rules(tokenizer, config)
    if not isinstance(tokenizer.get("model.merges"), list):
        raise tokenizer.error("model.merges", "a list")
    vocabulary = _vocabulary(tokenizer)
    start, end = _start_and_end(tokenizer)
    padding = _named(config, special, "pad_token")
    if padding is not None and padding not in vocabulary[pad_token_id : pad_token_id + 1]:
        raise ValueError(
            f"pad_token in {config.path} or {special.path} is {padding!r}, and the model pads with "
            f"the id {pad_token_id}, which it is not. {REMEDY}"
        )
    known = (_named(config, special, "mask_token"), "<mask>", "[MASK]")
    return BytePairTokenizer(
        swap_with_first(vocabulary, pad_token_id),
        tokenizer.get("model.merges"),
        start,
        end,
        mask_token=next((x for x in known if x in vocabulary), None),
        added_tokens=[
            {name: x.get(name, False) for name in ("content", "lstrip", "rstrip", "normalized")}
            for x in tokenizer.get("added_tokens") or []
        ],
        normalization=_normalization(tokenizer),
    )


def _from_vocab_json(folder, config, special):
    """What tokenizer.json would say, of vocab.json and merges.txt."""
    name = str(config.get("tokenizer_class") or _CLASSES[0]).removesuffix("Fast")
    if name not in _CLASSES:
        raise config.error("tokenizer_class", f"one of {', '.join(_CLASSES)}")
    vocabulary = JsonFile(folder / VOCABULARY)
    lines = (folder / MERGES).read_text(encoding="utf-8").split("\n")
    named = {x: _named(config, special, x) or y for x, y in _ROBERTA.items()}
    tokens = [x for x in dict.fromkeys(named.values()) if x in vocabulary.content]
    options = {x["content"]: x for x in _described(config).values()}
    vocabulary.content = {
        "added_tokens": [
            {**options.get(x, {}), "content": x, "id": vocabulary.content[x]} for x in tokens
        ],
        "pre_tokenizer": {"type": "ByteLevel"},
        "post_processor": {
            "type": "RobertaProcessing",
            "cls": [named["cls_token"], vocabulary.content.get(named["cls_token"])],
            "sep": [named["sep_token"], vocabulary.content.get(named["sep_token"])],
        },
        "model": {
            "vocab": vocabulary.content,
            "merges": [x for x in lines if x and not x.startswith("#version")],
        },
    }
    return vocabulary


def _vocabulary(tokenizer):
    """The tokens in the order of their ids, those that were added among them."""
    ids = tokenizer.get("model.vocab")
    if not isinstance(ids, dict):
        raise tokenizer.error("model.vocab", "an object, token to id")
    ids = dict(ids)
    for token in tokenizer.get("added_tokens") or []:
        if ids.setdefault(token["content"], token["id"]) != token["id"]:
            raise ValueError(
                f"The added token {token['content']!r} in {tokenizer.path} has the id "
                f"{token['id']}, and {ids[token['content']]} in model.vocab. {REMEDY}"
            )
    if sorted(ids.values()) != list(range(len(ids))):
        raise ValueError(
            f"Expected model.vocab and added_tokens in {tokenizer.path} to have the ids from 0 on, "
            f"none twice and none left out. {REMEDY}"
        )
    return sorted(ids, key=ids.get)


def _start_and_end(tokenizer):
    """The tokens that frame a text."""
    processors = _sequence(tokenizer, "post_processor", "processors")
    # What is left of it but offsets.
    processors = [x for x in processors if x.get("type") != "ByteLevel"]
    kind = processors[0].get("type") if len(processors) == 1 else None
    if kind in ("RobertaProcessing", "BertProcessing"):
        frame = [processors[0]["cls"], processors[0]["sep"]]
    elif kind == "TemplateProcessing":
        single, known = processors[0].get("single") or [], processors[0].get("special_tokens")
        if [[*x] for x in single] != [["SpecialToken"], ["Sequence"], ["SpecialToken"]]:
            raise tokenizer.error("post_processor", "one token before a text and one after it")
        names = [single[i]["SpecialToken"]["id"] for i in (0, 2)]
        frame = [(x, *known[x]["ids"]) for x in names]
    else:
        raise tokenizer.error(
            "post_processor", "RobertaProcessing, BertProcessing or TemplateProcessing"
        )
    vocabulary = _vocabulary(tokenizer)
    for token, *ids in frame:
        if [vocabulary.index(token) if token in vocabulary else None] != ids:
            raise tokenizer.error("post_processor", f"about the id that {token!r} has")
    return [token for token, *_ in frame]


def _normalization(tokenizer):
    kinds = [x.get("type") for x in _sequence(tokenizer, "normalizer", "normalizers")]
    if kinds not in ([], ["NFC"]):
        raise tokenizer.error("normalizer", "null or NFC")
    return kinds[0] if kinds else None


def _check_rules(tokenizer, config):
    """Refuses what `BytePairTokenizer` does not do."""
    steps = _sequence(tokenizer, "pre_tokenizer", "pretokenizers")
    if [x.get("type") for x in steps] != ["ByteLevel"]:
        raise tokenizer.error("pre_tokenizer", "ByteLevel")
    for key, values in _OF_PRE_TOKENIZER.items():
        if steps[0].get(key, values[0]) not in values:
            raise tokenizer.error("pre_tokenizer", f"with {key} {json.dumps(values[0])}")
    for key, values in _OF_MODEL.items():
        if tokenizer.get(f"model.{key}", values[0]) not in values:
            raise tokenizer.error(f"model.{key}", json.dumps(values[0]))
    if config.get("add_prefix_space", False):
        raise config.error("add_prefix_space", "false")
    added = tokenizer.get("added_tokens") or []
    if any(x.get("single_word") for x in added):
        raise tokenizer.error("added_tokens", "without single_word")
    # What stands there as well, with options that Transformers takes from there.
    beside = {**(config.get("added_tokens_decoder") or {}), **_described(config)}
    for where, token in beside.items():
        ours = next((x for x in added if x["content"] == token.get("content")), None)
        for option in _OPTIONS:
            if ours is None or bool(ours.get(option)) != bool(token.get(option)):
                raise ValueError(
                    f"{config.path} and added_tokens in {tokenizer.path} disagree about {where}, "
                    f"{token.get('content')!r}: {option if ours else 'only one has it'}. {REMEDY}"
                )


def _described(config):
    """The special tokens that tokenizer_config.json names with their options, by their names."""
    return {x: y for x, y in config.content.items() if isinstance(y, dict) and "content" in y}


def _sequence(tokenizer, key, inner):
    """The steps of a part of tokenizer.json, which may be one, several or null."""
    step = tokenizer.get(key)
    if step is None:
        return []
    return step.get(inner) or [] if step.get("type") == "Sequence" else [step]


def _named(config, special, name):
    """What a special token is, as a file beside the tokenizer says, or None."""
    for file in (config, special):
        token = file.get(name)
        if token is not None:
            return token.get("content") if isinstance(token, dict) else token
    return None
