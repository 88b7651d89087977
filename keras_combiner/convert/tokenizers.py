"""Other people's tokenizers as ours."""

import os
import re

from keras_combiner.convert.encoder_weights import swap_with_first
from keras_combiner.convert.keras_hub import is_keras_hub
from keras_combiner.text import BertTokenizer, Tokenizer
from keras_combiner.text.tensorflow_text_ops import SUFFIX_INDICATOR, UNKNOWN_TOKEN
from keras_combiner.text.wordpiece import read_vocabulary

_CAPITAL = re.compile("[A-Z]")


def as_tokenizer(source, pad_token_id=0):
    """Makes a tokenizer with the ids of a pretrained model.

    Args:
        source: `Tokenizer`, which is returned as it is; a tokenizer of KerasHub's with word
            pieces; list of str or path of a vocab.txt, of an uncased model; or None.
        pad_token_id: int, the id of the padding there; its place in the vocabulary becomes 0. None
            if it has none.

    Returns:
        `Tokenizer`, or None if `source` is None.

    Raises:
        TypeError: for a source of another type.
        ValueError: for what `BertTokenizer` refuses; for a vocabulary with capital letters, since
            nothing then says whether texts are converted to lower case; for a tokenizer that splits
            texts differently.
    """
    if source is None or isinstance(source, Tokenizer):
        return source
    if pad_token_id is None:
        raise ValueError(
            "The model has no id for padding alone, and a vocabulary none for 0, which is padding "
            "here. Pass a keras_combiner.text.Tokenizer as `tokenizer`, with the ids of the model "
            "but for 0, which became the last one."
        )
    options = {}
    if is_keras_hub(source, "WordPieceTokenizer"):
        _check_keras_hub(source)
        options = {"lowercase": source.lowercase, "strip_accents": source.strip_accents}
        vocabulary = [str(x) for x in source.vocabulary]
    elif isinstance(source, (str, os.PathLike)):
        vocabulary = read_vocabulary(source)
        check_uncased(vocabulary, source)
    elif isinstance(source, (list, tuple)):
        vocabulary = list(source)
        check_uncased(vocabulary, "`tokenizer`")
    else:
        raise TypeError(
            "Expected `tokenizer` to be a keras_combiner.text.Tokenizer, a tokenizer of KerasHub's "
            "with word pieces, a list of str or the path of a vocab.txt. Received: "
            f"{type(source).__name__}."
        )
    return BertTokenizer(swap_with_first(vocabulary, pad_token_id), **options)


def check_uncased(vocabulary, name):
    """Refuses a vocabulary with capital letters, if nothing says whether texts are lower-cased.

    Args:
        vocabulary: list of str.
        name: str or path, what holds it.

    Raises:
        ValueError: if a piece has a capital letter, which no lower-cased text has.

    Example:

    >>> check_uncased(["[PAD]", "word"], "vocab.txt")
    """
    for i, token in enumerate(vocabulary):
        is_special = str(token).startswith("[") and str(token).endswith("]")
        if not is_special and _CAPITAL.search(str(token)):
            raise ValueError(
                f"{name} has the piece {token!r} (id {i}), which no text in lower case has, and "
                "nothing says whether the model reads capital letters. Say do_lower_case in a "
                "tokenizer_config.json of a Hugging Face checkpoint, or pass `tokenizer`: "
                "keras_combiner.text.BertTokenizer(vocabulary, lowercase=False)."
            )


def _check_keras_hub(source):
    """Refuses a tokenizer of KerasHub's that splits or names pieces differently from BERT's."""
    expected = {
        "split": True,
        "split_on_cjk": True,
        "suffix_indicator": SUFFIX_INDICATOR,
        "oov_token": UNKNOWN_TOKEN,
    }
    for name, value in expected.items():
        received = getattr(source, name, value)
        if received != value:
            raise ValueError(
                f"Expected a tokenizer with {name}={value!r}, as BERT's. Received: {received!r}. "
                "Pass `tokenizer`, a keras_combiner.text.Tokenizer with the ids of the model."
            )
