"""ListOps: what is generated reads back, by a parser of its own, to the label it came with."""

import statistics

import numpy as np
import pytest

from keras_combiner.datasets import generate_listops
from keras_combiner.datasets.listops import VOCABULARY

OPERATIONS = {
    "[MIN": min,
    "[MAX": max,
    "[MED": lambda values: int(statistics.median(values)),
    "[SM": lambda values: sum(values) % 10,
}


def tokens_of(row):
    """Words of a row of ids; padding stands at its end only."""
    length = np.count_nonzero(row)
    assert row[:length].all()
    return [VOCABULARY[i] for i in row[:length]]


def evaluate(tokens, depth=1):
    """(value, tokens that follow, depth of the tree, numbers of arguments), by descent."""
    first, *rest = tokens
    if first not in OPERATIONS:
        return int(first), rest, depth, []
    values, deepest, counts = [], depth, []
    while rest[0] != "]":
        value, rest, below, more = evaluate(rest, depth + 1)
        values.append(value)
        deepest = max(deepest, below)
        counts += more
    return OPERATIONS[first](values), rest[1:], deepest, [*counts, len(values)]


def evaluate_row(row):
    value, rest, depth, counts = evaluate(tokens_of(row))
    assert not rest, "one expression a row"
    return value, depth, counts


def test_the_parser_by_hand():
    expression = "[SM 9 [MED 1 4 8 7 ] [MAX 0 3 ] [MIN 2 2 ] ]"
    assert evaluate(expression.split()) == ((9 + 5 + 3 + 2) % 10, [], 3, [4, 2, 2, 4])


@pytest.mark.parametrize(
    ("min_length", "max_length", "max_depth", "max_args"),
    [(500, 2000, 10, 10), (1, 60, 10, 10), (1, 40, 3, 2), (20, 30, 4, 10), (9, 9, 10, 5)],
)
def test_labels_are_the_values_of_the_expressions(min_length, max_length, max_depth, max_args):
    arguments = {"max_depth": max_depth, "max_args": max_args}
    token_ids, labels = generate_listops(200, min_length, max_length, **arguments)
    assert token_ids.shape == (200, max_length)
    assert labels.shape == (200,)
    assert token_ids.dtype == labels.dtype == "int32"
    lengths = np.count_nonzero(token_ids, axis=1)
    assert min_length <= lengths.min() <= lengths.max() <= max_length
    values, depths, counts = zip(*map(evaluate_row, token_ids), strict=True)
    np.testing.assert_array_equal(values, labels)
    assert max(depths) <= max_depth
    counts = [count for some in counts for count in some]
    assert 2 <= min(counts) <= max(counts) <= max_args
    assert len(np.unique(token_ids, axis=0)) == 200


def test_every_choice_of_the_grammar_is_even():
    token_ids, labels = generate_listops(500)
    _, shares = np.unique(token_ids[token_ids > 0], return_counts=True)
    words = dict(zip(VOCABULARY[1:], shares, strict=True))
    operators = np.array([words[name] for name in OPERATIONS])
    assert words["]"] == operators.sum()
    np.testing.assert_allclose(operators / operators.sum(), 0.25, atol=0.01)
    digits = np.array([words[str(digit)] for digit in range(10)])
    np.testing.assert_allclose(digits / digits.sum(), 0.1, atol=0.005)
    # Every operator has six nodes as arguments, on the average of 2 to 10.
    nodes = operators.sum() + digits.sum()
    assert nodes / operators.sum() == pytest.approx(6, abs=0.2)
    assert set(labels) == set(range(10))


def test_the_seed_decides():
    first, again, other = (generate_listops(20, 5, 50, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


def test_fewer_examples_are_the_first_of_more():
    many, few = generate_listops(50, 100, 300), generate_listops(20, 100, 300)
    np.testing.assert_array_equal(many[0][:20], few[0])


def test_the_shortest_of_all():
    token_ids, labels = generate_listops(10, 1, 1)
    assert sorted(labels) == list(range(10))
    assert [VOCABULARY[i] for i in token_ids[:, 0]] == [str(label) for label in labels]
    assert generate_listops(0, 1, 7)[0].shape == (0, 7)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_examples": -1}, "`num_examples` must be an int of at least 0"),
        ({"num_examples": 2.0}, "Received: num_examples=2.0"),
        ({"min_length": 0}, "`min_length` must be an int of at least 1"),
        ({"min_length": 9, "max_length": 8}, "`max_length` must be an int of at least 9"),
        ({"max_depth": 0}, "`max_depth` must be an int of at least 1"),
        ({"max_args": 1}, "`max_args` must be an int of at least 2"),
        ({"max_args": True}, "`max_args` must be an int"),
        ({"seed": None}, "Received: seed=None"),
        ({"min_length": 1, "max_length": 1, "num_examples": 11}, "found 10"),
        ({"min_length": 2, "max_length": 3}, "2 to 3 tokens"),
        ({"min_length": 13, "max_depth": 2}, "Ask for fewer, or widen"),
    ],
)
def test_bad_input_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        generate_listops(**{"num_examples": 1, **arguments})
