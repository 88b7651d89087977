"""TokenIdModel: what every model that is called with token ids refuses."""

import numbers

import keras
import numpy as np
import tensorflow as tf

from keras_combiner.models import token_ids
from keras_combiner.models.fit_arguments import (
    refuse_cloning,
    refuse_strings,
    refuse_strings_in_data_set,
)


class TokenIdModel:
    """A part of a functional `keras.Model` with a `backbone`, whose inputs are token ids.

    It refuses to be called with strings, with ids that its vocabulary does not have and with
    numbers that are not whole; it also refuses `keras.models.clone_model`.
    """

    def __call__(self, *args, **kwargs):
        """As `keras.Model.__call__`, on token ids only."""
        refuse_strings(self, args[:1])
        if args and _is_at_hand(args[0]):
            self._check_token_ids(args[0])
        return super().__call__(*args, **kwargs)

    @property
    def sequence_length(self):
        """int, the longest text, in tokens."""
        return self.backbone.arguments["sequence_length"]

    def train_on_batch(self, x, *args, **kwargs):
        """As `keras.Model.train_on_batch`, on token ids only."""
        self._check_token_ids(x)
        return super().train_on_batch(x, *args, **kwargs)

    def test_on_batch(self, x, *args, **kwargs):
        """As `keras.Model.test_on_batch`, on token ids only."""
        self._check_token_ids(x)
        return super().test_on_batch(x, *args, **kwargs)

    def predict_on_batch(self, x):
        """As `keras.Model.predict_on_batch`, on token ids only."""
        self._check_token_ids(x)
        return super().predict_on_batch(x)

    def _check_token_ids(self, x):
        token_ids.check(x, self.backbone.arguments["vocabulary_size"])

    def _checked_token_ids(self, x, needs_targets=False):
        """Checks token ids, and returns what `fit`, `evaluate` or `predict` of Keras reads.

        Args:
            x: arrays, or a data set.
            needs_targets: bool, whether a data set must have them beside the inputs.

        Returns:
            `x`; of a `tf.data.Dataset` one that is checked while it is read.

        Raises:
            TypeError: for strings, or a data set of them.
            ValueError: for a data set without targets that needs them, and for ids that the model
                does not have, in arrays or the first batch of a `keras.utils.PyDataset`.
        """
        refuse_strings(self, x)
        batch = refuse_strings_in_data_set(x)
        if needs_targets and len(batch) == 1:
            raise ValueError(
                f"The data set must have targets. Received: a {type(x).__name__} of inputs alone. "
                "Make it one of pairs."
            )
        if isinstance(x, tf.data.Dataset):
            return token_ids.checked_data_set(x, self.backbone.arguments["vocabulary_size"])
        self._check_token_ids(batch[0] if batch else x)
        return x

    def _run_through_graph(self, *args, **kwargs):
        refuse_cloning(self, kwargs)
        return super()._run_through_graph(*args, **kwargs)


def _is_at_hand(x):
    """Whether the values of inputs are known, and it costs nothing to look at them."""
    return all(
        isinstance(y, (np.ndarray, numbers.Real)) or (tf.is_tensor(y) and hasattr(y, "numpy"))
        for y in keras.tree.flatten(x)
    )
