"""Splits a document that is too long: into overlapping windows, or into consecutive parts."""

import numpy as np

OVERLAP = 0.25  # the least share of their tokens that neighboring windows have in common


def split_into_windows(token_ids, sequence_length):
    """Covers a document with as few overlapping windows as it takes.

    Each window is framed by the document's start and end tokens, as if it were a document. Windows
    are as long as they may be and evenly spaced; neighbors share at least a quarter of their
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
    count = count_windows(len(tokens), room)
    starts = (window_start(i, count, len(tokens), room) for i in range(count))
    start_token, end_token = token_ids[:1], token_ids[-1:]
    return [
        np.concatenate([start_token, tokens[start : start + room], end_token]) for start in starts
    ]


def count_windows(num_tokens, room):
    """Returns how many windows a document takes that does not fit into one.

    Args:
        num_tokens: int, or integer tensor, tokens of the document without its frame.
        room: int, the most tokens of a window without its frame.

    Returns:
        int or tensor, at least 2; at most 1 for a document that fits.

    Example:

    >>> count_windows(6, room=4), count_windows(4, room=4)
    (2, 1)
    """
    overlap = int(room * OVERLAP)
    return -(-(num_tokens - overlap) // (room - overlap))


def window_start(index, count, num_tokens, room):
    """Returns where a window starts.

    Args:
        index: int or integer tensor, which window, from 0.
        count: int or integer tensor, at least 2, what `count_windows` returned.
        num_tokens: as for `count_windows`.
        room: as for `count_windows`.

    Returns:
        int or tensor, the place of its first token among the document's tokens, without its frame.

    Example:

    >>> [window_start(i, 2, num_tokens=6, room=4) for i in range(2)]
    [0, 2]
    """
    return index * (num_tokens - room) // (count - 1)


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
