"""generate_recall: pairs of keys and values, and keys far after them that ask for their values."""

import numpy as np

from keras_combiner.datasets.integers import check_integers


def generate_recall(
    num_examples,
    length=512,
    num_pairs=16,
    num_queries=None,
    gap=0,
    num_keys=64,
    num_values=64,
    num_fillers=16,
    seed=0,
):
    """Generates sequences in which a token far away must be found: associative recall.

    A sequence starts with pairs of a key and its value, all keys different. At least `gap` tokens
    after them, some of the keys stand once more at random places: these are the queries, and the
    answer to each is the value that followed its key in the beginning. All other
    places hold random fillers. With one query it is the search for a needle; with as many as
    there are pairs, the multi-query associative recall that tells attention from models with a
    state of fixed size. Fillers, keys and values are different tokens.

    Nothing after a query tells its answer, so that the task is the same for causal models.

    Args:
        num_examples: int, number of sequences.
        length: int, tokens of a sequence.
        num_pairs: int, at least 1, number of pairs.
        num_queries: int, at least 1, number of different keys that are asked for; all if None.
        gap: int, the least number of tokens between the last pair and a query.
        num_keys: int, at least `num_pairs`, how many different keys there are.
        num_values: int, at least 2, how many different values there are: chance finds one of them.
        num_fillers: int, at least 1, how many different fillers there are.
        seed: int; the same arguments give the same sequences.

    Returns:
        A pair `(token_ids, answers)` of int32 arrays `[num_examples, length]`. Token ids: from 1
        on the fillers, then the keys, then the values, `1 + num_fillers + num_keys + num_values`
        in all; 0 is left for padding and does not occur. Answers: from 0 to `num_values - 1` at
        queries, -1 everywhere else.

    Raises:
        ValueError: if an argument is not an int in its range, or the pairs, the gap and the queries
            take more than `length` tokens.

    Example:

    >>> token_ids, answers = generate_recall(
    ...     1, length=9, num_pairs=2, num_queries=1, num_keys=3, num_values=3, num_fillers=1
    ... )
    >>> token_ids.tolist(), answers.tolist()
    ([[4, 5, 3, 5, 1, 1, 4, 1, 1]], [[-1, -1, -1, -1, -1, -1, 0, -1, -1]])

    Source: Arora et al., "Zoology: Measuring and Improving Recall in Efficient Language Models",
    ICLR 2024, section 3.1. There, the distances of queries follow a power law; here, they are
    uniform beyond the gap.
    """
    num_queries = num_pairs if num_queries is None else num_queries
    check_integers(
        ("num_examples", num_examples, 0),
        ("length", length, 1),
        ("num_pairs", num_pairs, 1),
        ("num_queries", num_queries, 1),
        ("gap", gap, 0),
        ("num_keys", num_keys, num_pairs),
        ("num_values", num_values, 2),
        ("num_fillers", num_fillers, 1),
        ("seed", seed, 0),
    )
    if num_queries > num_pairs:
        raise ValueError(
            "`num_queries` must be at most `num_pairs`, because each query asks for another key. "
            f"Received: num_queries={num_queries}, num_pairs={num_pairs}."
        )
    first = 2 * num_pairs + gap
    if first + num_queries > length:
        raise ValueError(
            f"{num_pairs} pairs, a gap of {gap} and {num_queries} queries take "
            f"{first + num_queries} tokens, more than `length`. Received: length={length}."
        )
    generator = np.random.default_rng(seed)
    shape = (num_examples, length)
    token_ids = generator.integers(1, 1 + num_fillers, size=shape, dtype="int32")
    answers = np.full(shape, -1, "int32")
    keys = _different(generator, num_examples, num_keys, num_pairs)
    values = generator.integers(num_values, size=(num_examples, num_pairs))
    token_ids[:, 0 : 2 * num_pairs : 2] = 1 + num_fillers + keys
    token_ids[:, 1 : 2 * num_pairs : 2] = 1 + num_fillers + num_keys + values
    asked = _different(generator, num_examples, num_pairs, num_queries)
    places = first + _different(generator, num_examples, length - first, num_queries)
    example = np.arange(num_examples)[:, np.newaxis]
    token_ids[example, places] = 1 + num_fillers + keys[example, asked]
    answers[example, places] = values[example, asked]
    return token_ids, answers


def _different(generator, num_examples, size, count):
    """int `[num_examples, count]`: in every row, different numbers below `size`."""
    return np.argsort(generator.random((num_examples, size)), axis=1)[:, :count]
