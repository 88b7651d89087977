"""ScaffoldAttention: CombinerAttention inside of Model Garden's and other tf_keras models."""

import keras
import tensorflow as tf

from keras_combiner import factorizations
from keras_combiner.layers import CombinerAttention

try:
    import tf_keras
except ImportError as error:
    raise ImportError(
        "ScaffoldAttention is a layer of tf_keras: pip install 'keras_combiner[models]'."
    ) from error

# Argument -> the module, of both Keras 3 and tf_keras, that its value comes from.
_KINDS = {
    "kernel_initializer": "initializers",
    "bias_initializer": "initializers",
    "kernel_regularizer": "regularizers",
    "bias_regularizer": "regularizers",
    "kernel_constraint": "constraints",
    "bias_constraint": "constraints",
}


@tf_keras.utils.register_keras_serializable(package="keras_combiner")
class ScaffoldAttention(tf_keras.layers.Layer):
    """`CombinerAttention` as a layer of tf_keras, for `TransformerScaffold(attention_cls=...)`.

    Model Garden is made of tf_keras, which neither trains nor saves the weights of a Keras 3 layer
    by itself: this layer does, in all formats of tf_keras and in TensorFlow's checkpoints.

    Masking: only padding. Model Garden passes attention a mask for every pair of positions, which
    repeats the padding mask for every query; the layer takes its first row. While it runs, it
    checks that the others are the same (not under XLA, which leaves such checks out).

    Args:
        num_heads: int, number of attention heads.
        key_dim: int, size of each head.
        **options: `name`, `dtype` and `trainable`; what else `CombinerAttention` takes, as
            `factorization`, `block_size`, `summary`, `dropout`. Initializers, regularizers and
            constraints may be those of tf_keras.

    Call arguments:
        query: float tensor `[batch, length, features]`.
        value: float tensor `[batch, length, features]`; `query` if None.
        key: float tensor `[batch, length, features]`; `value` if None.
        attention_mask: bool, int or float tensor `[batch, length]`, `[batch, 1, length]` or
            `[batch, length, length]`, or None.
        return_attention_scores: bool, see `CombinerAttention`.
        training: bool, whether to apply dropout.
        use_causal_mask: bool, whether a position sees only itself and the past.

    Returns:
        float tensor `[batch, length, features]`, or with `return_attention_scores` a pair, as of
        `CombinerAttention`.

    Raises:
        ImportError: if tf_keras is missing.
        tf.errors.InvalidArgumentError: as it runs, for a mask that differs between queries.
        ValueError: for an `activity_regularizer`, and for what `CombinerAttention` refuses.

    Example:

    >>> layer = ScaffoldAttention(num_heads=2, key_dim=4, block_size=16)
    >>> tokens = tf.ones((3, 40, 8))
    >>> tuple(layer(tokens, attention_mask=tf.ones((3, 40, 40))).shape)
    (3, 40, 8)
    >>> len(layer.trainable_weights)
    8
    """

    def __init__(self, num_heads, key_dim, **options):
        own = {x: options.pop(x) for x in ("name", "dtype", "trainable") if x in options}
        super().__init__(**own)
        if options.pop("activity_regularizer", None) is not None:
            raise ValueError(
                "ScaffoldAttention takes no `activity_regularizer`: regularize what comes after it."
            )
        self.supports_masking = True
        for name, kind in _KINDS.items():
            if name in options:
                options[name] = getattr(tf_keras, kind).get(options[name])
        if "factorization" in options:
            options["factorization"] = factorizations.deserialize(options["factorization"])
        self._arguments = _Untracked({"num_heads": num_heads, "key_dim": key_dim, **options})
        self._attention = _Untracked(self._make())

    def _make(self):
        arguments = dict(self._arguments.value)
        for name, kind in _KINDS.items():
            if arguments.get(name) is not None:
                arguments[name] = _as_keras_3(kind, arguments[name])
        policy = self._dtype_policy.name
        return CombinerAttention(**arguments, dtype=policy, name="attention")

    def build(self, input_shape):
        """Creates the weights for queries of shape `[batch, length, features]`."""
        attention = self._attention.value
        with tf.init_scope():  # weights outlive the graph in which the layer is first called
            attention.build(tuple(input_shape), tuple(input_shape))
        # From here on they are weights of this layer.
        self._attention_weights = [variable.value for variable in attention.variables]
        super().build(input_shape)

    def call(
        self,
        query,
        value=None,
        key=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
    ):
        """See the class docstring."""
        attention = self._attention.value
        outputs = attention(
            query,
            query if value is None else value,
            key=key,
            attention_mask=_padding_mask(attention_mask),
            return_attention_scores=return_attention_scores,
            training=bool(training) if training is None else training,
            use_causal_mask=use_causal_mask,
        )
        for loss in attention.losses:
            self.add_loss(loss)
        return outputs

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        arguments = dict(self._arguments.value)
        for name, kind in _KINDS.items():
            if name in arguments:
                arguments[name] = getattr(tf_keras, kind).serialize(arguments[name])
        if "factorization" in arguments:
            arguments["factorization"] = factorizations.serialize(arguments["factorization"])
        return {**super().get_config(), **arguments}


class _Untracked:
    """Keeps a value out of sight of tf_keras, which looks into all attributes of its layers."""

    def __init__(self, value):
        self.value = value


def _as_keras_3(kind, thing):
    """The initializer, regularizer or constraint of Keras 3 that is called as that of tf_keras."""
    config = {"class_name": type(thing).__name__, "config": thing.get_config()}
    return getattr(keras, kind).deserialize(config)


def _padding_mask(mask):
    """`[batch, length]` out of any of the masks that the layer takes."""
    if mask is None or len(mask.shape) == 2:
        return mask
    first = mask[:, :1]
    check = tf.debugging.assert_equal(
        mask,
        tf.broadcast_to(first, tf.shape(mask)),
        message="ScaffoldAttention knows padding only: expected an `attention_mask` that is the "
        "same for every query.",
    )
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(first)
