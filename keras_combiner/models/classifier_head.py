"""ClassifierHead: what stands between the states of tokens and the outputs of a task."""

import dataclasses
from typing import Any

import keras

from keras_combiner.factorizations import precision
from keras_combiner.layers import (
    BagOfTokens,
    DensePerLabel,
    LabelAttentionPooling,
    MaskedAveragePooling,
    SumOfBranches,
)
from keras_combiner.tasks.task import Task

POOLINGS = ("mean", "label")
# A transformer soon knows few documents by heart, and nothing is left to learn for the bag of
# tokens beside it: for this share of the documents of a step the bag answers alone.
ALONE = 0.5


def check_head(pooling, lexical):
    """Raises a ValueError for what `LongDocumentClassifier` does not take as its head."""
    if pooling not in POOLINGS:
        raise ValueError(
            f"`pooling` must be one of {', '.join(map(repr, POOLINGS))}. Received: {pooling!r}."
        )
    if not isinstance(lexical, (bool, keras.regularizers.Regularizer)):
        raise ValueError(
            "`lexical` must be True, False, or a regularizer of its table, such as "
            f"keras.regularizers.L2(1e-4). Received: {lexical!r}."
        )


@dataclasses.dataclass(frozen=True)
class ClassifierHead:
    """Pooling, dropout and the last layer of a classifier, and a bag of tokens beside them.

    Its layers are named "pooling", "dropout" and as the output of the task; with `lexical` also
    "lexical", "logits" (the sum) and "activation".

    Attributes:
        task: `keras_combiner.tasks.Task`.
        units: int, number of outputs.
        pooling: "mean" or "label".
        lexical: bool, whether there is a bag of tokens; or the regularizer of its table.
        dropout: float, dropout rate before the last layer.
        dtype: dtype or dtype policy of the last layer; None as in `LongDocumentClassifier`.
    """

    task: Task
    units: int
    pooling: str
    lexical: Any
    dropout: float
    dtype: Any

    def __call__(self, backbone, token_ids):
        """Makes the outputs of a functional model.

        Args:
            backbone: `CombinerBackbone`.
            token_ids: int `keras.KerasTensor` `[batch, length]`.

        Returns:
            float `keras.KerasTensor` `[batch, units]`.
        """
        x, policy = backbone(token_ids), backbone.arguments["dtype"]
        if self.pooling == "label":
            last = DensePerLabel
            x = LabelAttentionPooling(self.units, dtype=policy, name="pooling")(x)
        else:
            last = keras.layers.Dense
            x = MaskedAveragePooling(dtype=policy, name="pooling")(x)
        x = keras.layers.Dropout(self.dropout, dtype=policy, name="dropout")(x)
        float_dtype = "float64" if policy.compute_dtype == "float64" else "float32"
        outputs = last(
            self.units,
            activation=None if self.lexical else self.task.activation,
            dtype=float_dtype if self.dtype is None else self.dtype,
            name=self.task.output,
        )(x)
        if self.lexical:
            outputs = self._with_bag(outputs, token_ids, backbone.arguments["vocabulary_size"])
        return self.task.finish(outputs)

    def _with_bag(self, logits, token_ids, vocabulary_size):
        dtype = precision.dtype_for(logits)
        bag = BagOfTokens(
            vocabulary_size,
            self.units,
            embeddings_regularizer=None if self.lexical is True else self.lexical,
            dtype=dtype,
            name="lexical",
        )
        total = SumOfBranches(ALONE, dtype=dtype, name="logits")([logits, bag(token_ids)])
        activation = self.task.activation
        return keras.layers.Activation(activation, dtype=logits.dtype, name="activation")(total)
