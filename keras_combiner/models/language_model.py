"""What language models share: logits tied to the token embedding, and a loss without padding."""

import keras
from keras import ops

from keras_combiner.backbones.arguments import check_keywords
from keras_combiner.backbones.trainable_layers import model_from_config, trainable_layers
from keras_combiner.models.token_id_model import TokenIdModel


class LanguageModel(TokenIdModel, keras.Model):
    """A functional model from token ids `[batch, length]` to logits `[batch, length, vocabulary]`.

    The matrix that makes the logits is the token embedding of the backbone. Targets of 0, which is
    padding, count neither in the default loss nor in its metrics.

    Args:
        backbone: `CombinerBackbone`.
        **kwargs: `name` and `trainable`.
    """

    def __init__(self, backbone, **kwargs):
        check_keywords(self, kwargs)
        token_ids = keras.Input(backbone.input_shape[1:], dtype="int32", name="token_ids")
        logits = backbone.embedding.token_embedding(backbone(token_ids), reverse=True)
        super().__init__(inputs=token_ids, outputs=logits, **kwargs)
        self.backbone = backbone

    def predict(self, x, *args, **kwargs):
        """As `keras.Model.predict`, on token ids only."""
        return super().predict(self._checked_token_ids(x), *args, **kwargs)

    def compile(self, optimizer="adam", loss=None, **kwargs):
        """As `keras.Model.compile`, with the cross-entropy of the targets as the default loss.

        Args:
            optimizer: str or `keras.optimizers.Optimizer`.
            loss: what `keras.Model.compile` takes; if None, the cross-entropy in nats, averaged
                over targets other than 0.
            **kwargs: what else `keras.Model.compile` takes.
        """
        if loss is None:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def compile_from_config(self, config):
        """Undoes `get_compile_config`; Keras leaves that to classes with their own `compile`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "name": self.name,
            "trainable": self.trainable,
            "trainable_layers": trainable_layers(self),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Undoes `get_config`."""
        config = dict(config)
        config["backbone"] = keras.saving.deserialize_keras_object(
            config["backbone"], custom_objects=custom_objects
        )
        return model_from_config(cls, config)


def next_tokens(token_ids):
    """The targets of a causal model: every token's successor, 0 where there is none.

    `[a b c 0]` -> `[b c 0 0]`. What follows padding is not a target either: `[0 a b]` -> `[0 b 0]`.
    """
    token_ids = ops.cast(token_ids, "int32")
    following = ops.pad(token_ids[:, 1:], [[0, 0], [0, 1]])
    return ops.where(ops.equal(token_ids, 0), 0, following)
