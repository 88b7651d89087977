"""generate_listops: nested list operations, whose value depends on tokens far apart."""

from typing import NamedTuple

import numpy as np

from keras_combiner.datasets.integers import check_integers

OPERATORS = ("[MIN", "[MAX", "[MED", "[SM")
VOCABULARY = ("", *map(str, range(10)), *OPERATORS, "]")  # token ids are places in it

_FIRST_DIGIT = VOCABULARY.index("0")
_FIRST_OPERATOR = VOCABULARY.index(OPERATORS[0])
_CLOSE = VOCABULARY.index("]")

_OPERATOR_SHARE = 0.25  # of the nodes that are not as deep as a tree may be
_TREES_AT_ONCE = 4096
_FRUITLESS_ATTEMPTS = 100


def generate_listops(
    num_examples, min_length=500, max_length=2000, max_depth=10, max_args=10, seed=0
):
    """Generates expressions such as `[MAX 2 9 [MIN 4 7 ] 0 ]` with their values.

    The task ListOps as Long Range Arena has it: a node is a digit, or, with probability 1/4
    unless it is as deep as it may be, one of the operators MIN, MAX, MED (the median, rounded
    down) and SM (the sum modulo 10) with 2 to `max_args` nodes as arguments. Expressions outside
    the range of lengths are thrown away. No expression occurs twice, so that slices of one call
    are fair splits.

    Args:
        num_examples: int, number of expressions.
        min_length: int, the fewest tokens of an expression.
        max_length: int, the most tokens of an expression.
        max_depth: int, how many nodes a way from the root to a digit has at most.
        max_args: int, the most arguments of an operator, at least 2.
        seed: int; the same arguments give the same expressions.

    Returns:
        A pair `(token_ids, labels)`: int32 arrays `[num_examples, max_length]`, places in
        `VOCABULARY` and 0 after the end, and `[num_examples]`, values from 0 to 9.

    Raises:
        ValueError: if an argument is not an int in its range, or expressions of these lengths do
            not exist, are too rare to find, or are fewer than `num_examples`.

    Example:

    >>> token_ids, labels = generate_listops(100, min_length=5, max_length=9)
    >>> token_ids.shape, labels.shape
    ((100, 9), (100,))
    >>> " ".join(VOCABULARY[i] for i in token_ids[0]).strip(), int(labels[0])
    ('[MED 5 9 3 ]', 5)

    Source: Nangia and Bowman, "ListOps: A Diagnostic Dataset for Latent Tree Learning", 2018; Tay
    et al., "Long Range Arena: A Benchmark for Efficient Transformers", ICLR 2021, section 2.2.
    """
    check_integers(
        ("num_examples", num_examples, 0),
        ("min_length", min_length, 1),
        ("max_length", max_length, min_length),
        ("max_depth", max_depth, 1),
        ("max_args", max_args, 2),
        ("seed", seed, 0),
    )
    generator = np.random.default_rng(seed)
    token_ids = np.zeros((num_examples, max_length), "int32")
    labels = np.zeros(num_examples, "int32")
    found, seen, fruitless = 0, set(), 0
    while found < num_examples:
        levels = _grow(generator, max_depth, max_args, min_length, max_length)
        before = found
        for row, label in zip(*_read(levels, max_length), strict=True):
            expression = row.tobytes()
            if found < num_examples and expression not in seen:
                seen.add(expression)
                token_ids[found], labels[found] = row, label
                found += 1
        fruitless = 0 if found > before else fruitless + 1
        if fruitless == _FRUITLESS_ATTEMPTS:
            raise ValueError(
                f"Expected {num_examples} different expressions of {min_length} to {max_length} "
                f"tokens with max_depth={max_depth} and max_args={max_args}, found {found} in "
                "many attempts. Ask for fewer, or widen the range of lengths."
            )
    return token_ids, labels


class _Level(NamedTuple):
    """The nodes of one depth of many trees, so ordered that the arguments of a node are neighbors.

    Attributes:
        tree: int array `[nodes]`, the tree that a node belongs to; never decreases.
        operator: int array `[nodes]`, 0 to 3; has no meaning for digits.
        digit: int array `[nodes]`, 0 to 9; has no meaning for operators.
        num_args: int array `[nodes]`, the number of arguments, 0 for digits.
    """

    tree: np.ndarray
    operator: np.ndarray
    digit: np.ndarray
    num_args: np.ndarray


def _grow(generator, max_depth, max_args, min_length, max_length):
    """`_Level`s of random trees from the root down, without the trees of another length."""
    levels = []
    lengths = np.zeros(_TREES_AT_ONCE, "int64")
    tree = np.arange(_TREES_AT_ONCE)
    for depth in range(1, max_depth + 1):
        size = len(tree)
        share = _OPERATOR_SHARE if depth < max_depth else 0.0
        num_args = generator.integers(2, max_args + 1, size=size)
        num_args = np.where(generator.random(size) < share, num_args, 0)
        operator, digit = generator.integers(4, size=size), generator.integers(10, size=size)
        levels.append(_Level(tree, operator, digit, num_args))
        # An operator is two tokens, with its closing bracket.
        lengths += np.bincount(tree, np.where(num_args > 0, 2, 1), _TREES_AT_ONCE).astype("int64")
        tree = np.repeat(tree, num_args)
        # Arguments are a token each at least: what will be too long need not grow on.
        too_long = lengths + np.bincount(tree, minlength=_TREES_AT_ONCE) > max_length
        lengths[too_long] = max_length + 1
        tree = tree[~too_long[tree]]
    kept = (lengths >= min_length) & (lengths <= max_length)
    return [_Level(*(x[kept[level.tree]] for x in level)) for level in levels]


def _read(levels, max_length):
    """Token ids `[trees, max_length]` and values `[trees]` of complete trees."""
    nodes = []  # of every level: sizes in tokens, and values
    for level in reversed(levels):
        sizes, values = np.ones(len(level.tree), "int64"), level.digit.copy()
        is_operator = level.num_args > 0
        if is_operator.any():
            num_args = level.num_args[is_operator]
            first = np.cumsum(num_args) - num_args  # arguments, in the level below
            argument_sizes, arguments = nodes[-1]
            sizes[is_operator] = 2 + np.add.reduceat(argument_sizes, first)
            order = np.lexsort((arguments, np.repeat(np.arange(len(first)), num_args)))
            lower, upper = (
                arguments[order[first + middle]] for middle in ((num_args - 1) // 2, num_args // 2)
            )
            results = {
                "[MIN": np.minimum.reduceat(arguments, first),
                "[MAX": np.maximum.reduceat(arguments, first),
                "[MED": (lower + upper) // 2,
                "[SM": np.add.reduceat(arguments, first) % 10,
            }
            results = [results[name] for name in OPERATORS]
            values[is_operator] = np.choose(level.operator[is_operator], results)
        nodes.append((sizes, values))

    trees, labels = levels[0].tree, nodes[-1][1]
    token_ids = np.zeros((len(trees), max_length), "int32")
    starts = np.zeros(len(trees), "int64")
    before = None  # the arguments of the level above, which start after their operators
    for level, (sizes, _) in zip(levels, reversed(nodes), strict=True):
        if before is not None:
            operator_starts, num_args = before
            ends = np.cumsum(sizes)
            first = np.cumsum(num_args) - num_args
            starts = ends - sizes
            starts += np.repeat(operator_starts + 1 - starts[first], num_args)
        is_operator = level.num_args > 0
        row = np.searchsorted(trees, level.tree)
        token_ids[row, starts] = np.where(
            is_operator, _FIRST_OPERATOR + level.operator, _FIRST_DIGIT + level.digit
        )
        token_ids[row[is_operator], (starts + sizes - 1)[is_operator]] = _CLOSE
        before = starts[is_operator], level.num_args[is_operator]
    return token_ids, labels
