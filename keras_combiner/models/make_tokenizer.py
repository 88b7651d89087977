"""make_tokenizer: the tokenizer of a new model, learned from texts if asked for."""

from keras_combiner import text  # also registers the tokenizers that saved models name
from keras_combiner.text.unknown_tokens import UNKNOWN_TO_REFUSE


def make_tokenizer(tokenizer, texts, vocabulary_size, verbose=True, mask_token=False):
    """Returns the tokenizer that the argument `tokenizer` of `from_texts` stands for.

    Args:
        tokenizer: "wordpiece" (learned from `texts`), "bytes" (no vocabulary), or a
            `keras_combiner.text.Tokenizer`, which is returned as it is.
        texts: iterable of str.
        vocabulary_size: int, the most tokens that a learned vocabulary may have.
        verbose: bool, whether to say what is being done.
        mask_token: bool, whether it is for a masked language model.

    Returns:
        `keras_combiner.text.Tokenizer`.

    Raises:
        ValueError: for any other `tokenizer`, for texts without a word, and for texts half of whose
            tokens a learned vocabulary does not know.

    Example:

    >>> make_tokenizer("bytes", [], vocabulary_size=8000).vocabulary_size
    259
    """
    if tokenizer == "wordpiece":
        vocabulary = text.learn_wordpiece_vocabulary(
            texts,
            vocabulary_size=vocabulary_size,
            verbose=verbose,
            mask_token=mask_token,
            most_unknown=UNKNOWN_TO_REFUSE,
        )
        return text.WordPieceTokenizer(vocabulary)
    if tokenizer == "bytes":
        return text.ByteTokenizer(mask_token=mask_token)
    if isinstance(tokenizer, text.Tokenizer):
        return tokenizer
    raise ValueError(
        "`tokenizer` must be 'wordpiece', 'bytes' or a keras_combiner.text.Tokenizer. "
        f"Received: {tokenizer!r}."
    )
