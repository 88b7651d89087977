"""The plans that split a sequence into direct and abstracted parts."""

from keras_combiner.factorizations.factorization import Factorization, Support
from keras_combiner.factorizations.fixed import Fixed
from keras_combiner.factorizations.hierarchical import Hierarchical
from keras_combiner.factorizations.logsparse import Logsparse
from keras_combiner.factorizations.registry import deserialize, get, names, serialize

__all__ = [
    "Factorization",
    "Fixed",
    "Hierarchical",
    "Logsparse",
    "Support",
    "deserialize",
    "get",
    "names",
    "serialize",
]
