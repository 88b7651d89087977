"""Other people's tokenizers as ours."""

import os

from keras_combiner.convert.encoder_weights import swap_with_first
from keras_combiner.convert.keras_hub import is_keras_hub
from keras_combiner.text import BertTokenizer, Tokenizer
from keras_combiner.text.wordpiece import read_vocabulary


def as_tokenizer(source, pad_token_id=0):
    """Makes a tokenizer with the ids of a pretrained model.

    Args:
        source: `Tokenizer`, which is returned as it is; a tokenizer of KerasHub's with word
            pieces; list of str or path of a vocab.txt, of an uncased model; or None.
        pad_token_id: int, the id of the padding there; its place in the vocabulary becomes 0.

    Returns:
        `Tokenizer`, or None if `source` is None.

    Raises:
        TypeError: for a source of another type.
        ValueError: for what `BertTokenizer` refuses.
    """
    if source is None or isinstance(source, Tokenizer):
        return source
    options = {}
    if is_keras_hub(source, "WordPieceTokenizer"):
        options = {"lowercase": source.lowercase, "strip_accents": source.strip_accents}
        vocabulary = [str(x) for x in source.vocabulary]
    elif isinstance(source, (str, os.PathLike)):
        vocabulary = read_vocabulary(source)
    elif isinstance(source, (list, tuple)):
        vocabulary = list(source)
    else:
        raise TypeError(
            "Expected `tokenizer` to be a keras_combiner.text.Tokenizer, a tokenizer of KerasHub's "
            "with word pieces, a list of str or the path of a vocab.txt. Received: "
            f"{type(source).__name__}."
        )
    return BertTokenizer(swap_with_first(vocabulary, pad_token_id), **options)
