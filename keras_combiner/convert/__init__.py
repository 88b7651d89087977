"""Other people's weights in: a pretrained encoder becomes one for long documents."""

from keras_combiner.convert.positions import extend_positions
from keras_combiner.convert.use_combiner import use_combiner

__all__ = ["ScaffoldAttention", "extend_positions", "use_combiner"]


def __getattr__(name):
    """Imports tf_keras when its layer is asked for."""
    if name == "ScaffoldAttention":
        from keras_combiner.convert.scaffold_attention import ScaffoldAttention

        return ScaffoldAttention
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
