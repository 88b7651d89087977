"""The plans that split a sequence into direct and abstracted parts."""

from keras_combiner.factorizations.axial import AxialHorizontal, AxialVertical
from keras_combiner.factorizations.axial_rowmajor import AxialRowmajor
from keras_combiner.factorizations.factorization import Factorization, Support
from keras_combiner.factorizations.fixed import Fixed
from keras_combiner.factorizations.hierarchical import Hierarchical
from keras_combiner.factorizations.logsparse import Logsparse
from keras_combiner.factorizations.mixture import Mixture
from keras_combiner.factorizations.registry import by_layer, deserialize, get, names, serialize
from keras_combiner.factorizations.routing import Routing
from keras_combiner.factorizations.window import Window

__all__ = [
    "AxialHorizontal",
    "AxialRowmajor",
    "AxialVertical",
    "Factorization",
    "Fixed",
    "Hierarchical",
    "Logsparse",
    "Mixture",
    "Routing",
    "Support",
    "Window",
    "by_layer",
    "deserialize",
    "get",
    "names",
    "serialize",
]
