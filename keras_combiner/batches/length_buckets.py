"""choose_lengths: the few lengths that documents are padded to."""

import numpy as np

# Lengths are chosen among multiples of 8, or coarser ones where that would be very many.
_FINEST = 8
_MOST_CANDIDATES = 512


def choose_lengths(lengths, longest, most=12, batch_size=1):
    """Chooses the lengths to pad to, so that padding is least.

    A batch of one length is one program to a compiler and one shape to a device: a few of them,
    placed where the documents are, waste little.

    Args:
        lengths: int array `[examples]`, token ids of each, none above `longest`.
        longest: int, the most token ids that there may be.
        most: int, at least 1, how many lengths there may be.
        batch_size: int, examples a batch: lengths are those of the longest examples of sorted
            batches, so that few batches hold examples of two lengths.

    Returns:
        int array of at most `most` lengths, in ascending order; every example fits into the last.

    Example:

    >>> choose_lengths(np.array([10, 12, 15, 100, 100, 3000]), longest=4096, most=3).tolist()
    [16, 104, 3000]
    """
    lengths = np.asarray(lengths)
    if lengths.size == 0:
        return np.array([longest])
    step = _FINEST
    while longest / step > _MOST_CANDIDATES:
        step *= 2
    rounded = np.sort(np.minimum(-(-lengths // step) * step, longest))
    of_batches = np.append(rounded[batch_size - 1 :: batch_size], rounded[-1])
    candidates, counts = np.unique(of_batches, return_counts=True)
    before = np.concatenate([[0], np.cumsum(counts)])  # batches that are shorter
    # cost[j]: tokens, padding included, if the first j + 1 candidates are covered by the lengths
    # chosen so far, the last of which is candidate j.
    cost = candidates * before[1:].astype("float64")
    choices = []
    for _ in range(min(most, len(candidates)) - 1):
        # totals[j, i]: the last length covers the candidates from i to j, others those before i.
        totals = np.concatenate([[0.0], cost[:-1]]) + candidates[:, None] * (
            before[1:, None] - before[None, :-1]
        )
        totals[np.triu_indices(len(candidates), 1)] = np.inf
        choices.append(totals.argmin(axis=1))
        cost = totals.min(axis=1)
    last = len(candidates) - 1
    chosen = [candidates[last]]
    for choice in reversed(choices):
        last = choice[last] - 1
        if last < 0:
            break
        chosen.append(candidates[last])
    return np.array(chosen[::-1])


def halved_lengths(longest):
    """Returns `longest`, its half and so on until one is below 128, in ascending order.

    They do not depend on the documents, so that what is compiled for them serves others too.

    Args:
        longest: int, the most token ids that there may be.

    Returns:
        list of int.

    Example:

    >>> halved_lengths(500)
    [125, 250, 500]
    """
    lengths = [longest]
    while lengths[0] >= 128:
        lengths.insert(0, -(-lengths[0] // 2))
    return lengths
