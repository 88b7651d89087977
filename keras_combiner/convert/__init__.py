"""Other people's weights in: a pretrained encoder becomes one for long documents."""

from keras_combiner.convert.positions import extend_positions
from keras_combiner.convert.use_combiner import use_combiner

__all__ = ["extend_positions", "use_combiner"]
