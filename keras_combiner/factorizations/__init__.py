"""The plans that split a sequence into direct and abstracted parts."""

from keras_combiner.factorizations.factorization import Factorization, Support
from keras_combiner.factorizations.fixed import Fixed
from keras_combiner.factorizations.registry import deserialize, get, names, serialize

__all__ = ["Factorization", "Fixed", "Support", "deserialize", "get", "names", "serialize"]
