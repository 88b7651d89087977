"""Checks that a model and its tokenizer fit together."""

from keras_combiner.text.tokenizer import MIN_SEQUENCE_LENGTH


def check_fits(backbone, tokenizer):
    """Raises a ValueError unless a backbone has all token ids of a tokenizer."""
    vocabulary_size = backbone.arguments["vocabulary_size"]
    if vocabulary_size < tokenizer.vocabulary_size:
        raise ValueError(
            f"The tokenizer has {tokenizer.vocabulary_size} token ids, the backbone only "
            f"{vocabulary_size}: build the backbone with "
            f"vocabulary_size={tokenizer.vocabulary_size}."
        )


def check_found(tokenizer):
    """Raises a ValueError if a pretrained source came without a tokenizer, which is then None."""
    if tokenizer is None:
        raise ValueError(
            "The source has no vocabulary of word pieces. Pass `tokenizer`: the path of a "
            "vocab.txt, or a keras_combiner.text.Tokenizer with the ids of the model."
        )


def check_sequence_length(sequence_length):
    """Raises a ValueError unless texts of `sequence_length` tokens can hold a word."""
    if sequence_length < MIN_SEQUENCE_LENGTH:
        raise ValueError(
            f"`sequence_length` must be at least {MIN_SEQUENCE_LENGTH}: two tokens frame a "
            f"text. Received: {sequence_length!r}."
        )
