"""A document that is too long, as pieces that are not: overlapping, or one after the other."""

import numpy as np

_OVERLAP = 4  # neighbouring windows share at least a quarter of their tokens


def split_into_windows(token_ids, sequence_length):
    """Covers a document with as few overlapping windows as it takes.

    Each window is framed by the document's start and end tokens, as if it were a document. Windows
    are as long as they may be and evenly spaced; neighbours share at least a quarter of their
    tokens, so that what stands at the end of one stands well inside the next.

    Args:
        token_ids: int array `[length]`, what a tokenizer made of the text: start token, tokens,
            end token.
        sequence_length: int, at least 3, the most ids of a window.

    Returns:
        list of int arrays; of the document itself if it is not too long.

    Example:

    >>> ids = np.array([1, 11, 12, 13, 14, 15, 16, 2])
    >>> [window.tolist() for window in split_into_windows(ids, sequence_length=6)]
    [[1, 11, 12, 13, 14, 2], [1, 13, 14, 15, 16, 2]]
    >>> len(split_into_windows(ids, sequence_length=8))
    1
    """
    if len(token_ids) <= sequence_length:
        return [token_ids]
    room, tokens = sequence_length - 2, token_ids[1:-1]
    overlap = room // _OVERLAP
    count = -(-(len(tokens) - overlap) // (room - overlap))
    starts = (i * (len(tokens) - room) // (count - 1) for i in range(count))
    start_token, end_token = token_ids[:1], token_ids[-1:]
    return [
        np.concatenate([start_token, tokens[start : start + room], end_token]) for start in starts
    ]


def split_into_parts(token_ids, sequence_length):
    """Cuts a document into as few consecutive parts as it takes, of about the same length.

    Every token is in one of them. Each part is framed by the document's start and end tokens, as
    if it were a document.

    Args:
        token_ids: as for `split_into_windows`.
        sequence_length: int, at least 3, the most ids of a part.

    Returns:
        list of int arrays; of the document itself if it is not too long.

    Example:

    >>> ids = np.array([1, 11, 12, 13, 14, 15, 16, 17, 2])
    >>> [part.tolist() for part in split_into_parts(ids, sequence_length=6)]
    [[1, 11, 12, 13, 14, 2], [1, 15, 16, 17, 2]]
    """
    if len(token_ids) <= sequence_length:
        return [token_ids]
    tokens = token_ids[1:-1]
    parts = np.array_split(tokens, -(-len(tokens) // (sequence_length - 2)))
    return [np.concatenate([token_ids[:1], part, token_ids[-1:]]) for part in parts]
