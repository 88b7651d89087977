"""The plans that split a sequence into direct and abstracted parts."""

from keras_combiner.factorizations.factorization import Factorization, Support
from keras_combiner.factorizations.fixed import Fixed
from keras_combiner.factorizations.registry import get, names

__all__ = ["Factorization", "Fixed", "Support", "get", "names"]
