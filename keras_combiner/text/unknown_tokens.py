"""How much of some texts a vocabulary does not know: counted, warned of, refused in training."""

import warnings

import numpy as np

from keras_combiner.data_warning import DataWarning

UNKNOWN_TO_WARN = 0.05  # the share of unknown tokens above which there is a warning
UNKNOWN_TO_REFUSE = 0.5  # and the one above which texts are not trained on

_WHAT = (
    "are [UNK], words with a character that the vocabulary lacks or of more than 100 bytes, as in "
    "scripts without spaces. A model cannot tell one of them from another."
)
_WAYS = (
    'Take tokenizer="bytes", or a vocabulary that was learned from such texts and is large enough '
    "(vocabulary_size=...)."
)


class UnknownTokensWarning(DataWarning):
    """Says that much of some texts is unknown to a vocabulary.

    Args:
        message: str.
        documents: iterable of int, as below.

    Attributes:
        documents: list of int, which documents are unknown for the most part, if that was asked.
    """

    def __init__(self, message, documents=()):
        super().__init__(message)
        self.documents = list(documents)


def check_unknown_tokens(num_unknown, num_tokens, most_unknown=1.0, each=False):
    """Warns of texts, or refuses to train on them, of which a vocabulary does not know enough.

    Args:
        num_unknown: int array `[documents]`, how many tokens of each are `[UNK]`.
        num_tokens: int array `[documents]`, how many there are of each, without start and end.
        most_unknown: float, the share above which the texts are refused: `UNKNOWN_TO_REFUSE` where
            a model is to learn from them.
        each: bool, whether to check every document, in addition to all of them together.

    Raises:
        ValueError: if the share is greater than `most_unknown`.

    Example:

    >>> check_unknown_tokens(np.array([1, 0]), np.array([100, 3]))
    >>> check_unknown_tokens(np.array([9, 0]), np.array([10, 2]), most_unknown=0.5)
    Traceback (most recent call last):
    ValueError: 75% of the tokens are [UNK], words with a character that the vocabulary lacks or \
of more than 100 bytes, as in scripts without spaces. A model cannot tell one of them from \
another. Take tokenizer="bytes", or a vocabulary that was learned from such texts and is large \
enough (vocabulary_size=...).
    """
    share = unknown_share(num_unknown, num_tokens)
    if share > most_unknown:
        raise ValueError(f"{share:.0%} of the tokens {_WHAT} {_WAYS}")
    mostly = np.flatnonzero(num_unknown > UNKNOWN_TO_REFUSE * num_tokens) if each else []
    if share > UNKNOWN_TO_WARN:
        message = f"{share:.0%} of the tokens {_WHAT} {_WAYS}"
    elif len(mostly):
        message = (
            f"More than half of the tokens in {len(mostly)} of {len(num_tokens)} documents, the "
            f"first of them document {mostly[0]}, {_WHAT} {_WAYS}"
        )
    else:
        return
    warnings.warn(UnknownTokensWarning(message, mostly), stacklevel=4)


def unknown_share(num_unknown, num_tokens):
    """The share of all tokens that is unknown.

    Args:
        num_unknown: int array `[documents]`, as above.
        num_tokens: int array `[documents]`, as above.

    Returns:
        float, 0 where there is no token.

    Example:

    >>> unknown_share(np.array([1, 0]), np.array([3, 1]))
    0.25
    """
    return float(np.sum(num_unknown, dtype="int64") / max(1, np.sum(num_tokens, dtype="int64")))
