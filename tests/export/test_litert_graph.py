"""The graph as delegates want it: what changes here is worth a look at latencies."""

import collections

import pytest

from keras_combiner.export import export_litert
from tests.export.litert_graph import Graph

# Two layers of "fixed" with "variational" summaries, under the versions in constraints.txt.
OPERATORS = {
    "ADD": 20,
    "BATCH_MATMUL": 15,
    "BROADCAST_TO": 2,
    "CAST": 9,
    "DIV": 7,
    "EMBEDDING_LOOKUP": 2,
    "EXP": 6,
    "FULLY_CONNECTED": 13,
    "GELU": 2,
    "GREATER": 2,
    "LESS": 2,
    "LOG": 2,
    "LOGICAL_AND": 3,
    "MAXIMUM": 9,
    "MEAN": 10,
    "MUL": 33,
    "NEG": 7,
    "NOT_EQUAL": 1,
    "REDUCE_ANY": 2,
    "REDUCE_MAX": 4,
    "REDUCE_MIN": 2,
    "RESHAPE": 58,
    "RSQRT": 5,
    "SELECT": 1,
    "SELECT_V2": 13,
    "SOFTMAX": 3,
    "SQUARED_DIFFERENCE": 5,
    "SUB": 6,
    "SUM": 15,
    "TRANSPOSE": 8,
}
# What XNNPACK leaves: masks made of token ids, what becomes of negative ids, and SELECT.
OUTSIDE = {
    "ADD": 1,
    "BROADCAST_TO": 2,
    "CAST": 9,
    "EMBEDDING_LOOKUP": 2,
    "GREATER": 2,
    "LESS": 2,
    "LOGICAL_AND": 3,
    "NOT_EQUAL": 1,
    "REDUCE_ANY": 2,
    "RESHAPE": 15,
    "SELECT": 1,
    "SELECT_V2": 13,
}
PARTITIONS = 9


@pytest.fixture(scope="module")
def two_layers(make_classifier):
    return make_classifier("wordpiece", num_layers=2, lexical=False)


# In these kinds the same operators compute, on other weights.
@pytest.fixture(
    scope="module",
    params=[
        "float32",
        *(pytest.param(x, marks=pytest.mark.slow) for x in ("dynamic_int8", "int4")),
    ],
)
def graph(request, two_layers, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "model.tflite"
    export_litert(two_layers, path, quantization=request.param, documents=["a king"])
    return Graph(path)


def test_operators(graph):
    (operators,) = graph.operators
    assert collections.Counter(operators) == OPERATORS


def test_all_of_weight_is_delegated_in_few_pieces(graph):
    assert collections.Counter(graph.outside) == OUTSIDE
    assert graph.partitions == PARTITIONS


def test_tensors_have_rank_4_at_most(graph):
    assert max(graph.ranks) == 4
