"""CombinerEncoder: a transformer block on CombinerAttention."""

import keras
from keras import ops

from keras_combiner import factorizations
from keras_combiner.factorizations import summaries
from keras_combiner.layers import dtype_policies
from keras_combiner.layers.combiner_attention import CombinerAttention, check_heads
from keras_combiner.layers.dropout import Dropout
from keras_combiner.layers.rematerialization import rematerialized


@keras.saving.register_keras_serializable(package="keras_combiner")
class CombinerEncoder(keras.layers.Layer):
    """Transformer block for long sequences: CombinerAttention, then a feed-forward network.

    Both sublayers have dropout on their output, a residual connection and a layer
    normalization, which comes before the sublayer (`normalize_first=True`, pre-norm) or after the
    addition (post-norm, as in BERT).

    Masking: the implicit Keras mask of the input, or `mask`, is what CombinerAttention takes as
    its padding mask; it is passed on.

    Args:
        num_heads: int, number of attention heads; must divide the feature dimension of the input
            unless `key_dim` is given.
        intermediate_dim: int, width of the feed-forward network.
        key_dim: int, size of each head; features / num_heads if None.
        dropout: float, dropout rate of both sublayers' outputs and of the attention weights.
        activation: str or callable, activation of the feed-forward network.
        normalize_first: bool, pre-norm if true, post-norm if false.
        layer_norm_epsilon: float, epsilon of the normalizations.
        use_causal_mask: bool, whether a position sees only itself and the past.
        factorization: see `CombinerAttention`.
        block_size: see `CombinerAttention`.
        summary: see `CombinerAttention`.
        num_key_value_heads: see `CombinerAttention`.
        rotary: see `CombinerAttention`.
        rotary_base: see `CombinerAttention`.
        remat: bool, whether training keeps only the block's input and computes the rest once more
            for the gradient (rematerialization): less memory for more time, the same numbers.
        **kwargs: `name`, `dtype` and what else `keras.layers.Layer` takes.

    Call arguments:
        inputs: float tensor `[batch, length, features]`.
        mask: bool tensor `[batch, length]`, true at positions that count, or None.
        training: bool, whether to apply dropout.

    Returns:
        float tensor `[batch, length, features]`.

    Raises:
        ValueError: if `num_heads` does not divide the features and `key_dim` is None, for `remat`
            with a plan that learns from the tokens it sees ("routing"), or for what
            `CombinerAttention` refuses.

    Example:

    >>> import numpy as np
    >>> tokens = np.ones((2, 300, 32), "float32")
    >>> block = CombinerEncoder(num_heads=4, intermediate_dim=64, block_size=16)
    >>> tuple(block(tokens).shape)
    (2, 300, 32)

    Reference:
        Vaswani et al., "Attention Is All You Need", 2017, section 3; attention as in
        `CombinerAttention`.
    """

    def __init__(
        self,
        num_heads,
        intermediate_dim,
        key_dim=None,
        dropout=0.0,
        activation="gelu",
        normalize_first=True,
        layer_norm_epsilon=1e-5,
        use_causal_mask=False,
        factorization="fixed",
        block_size=64,
        summary="variational",
        num_key_value_heads=None,
        rotary=False,
        rotary_base=10000.0,
        remat=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, size in (("num_heads", num_heads), ("intermediate_dim", intermediate_dim)):
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"`{name}` must be an int of at least 1. Received: {size!r}.")
        self.supports_masking = True
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.key_dim = key_dim
        self.dropout = dropout
        self.activation = keras.activations.get(activation)
        self.normalize_first = normalize_first
        self.layer_norm_epsilon = layer_norm_epsilon
        self.use_causal_mask = use_causal_mask
        self.factorization = factorizations.deserialize(factorization)
        factorizations.get(self.factorization, block_size)  # refuses now what cannot work later
        summaries.check(summary)
        check_heads(num_heads, num_key_value_heads)
        self.block_size = block_size
        self.summary = summary
        self.num_key_value_heads = num_key_value_heads
        self.rotary = rotary
        self.rotary_base = rotary_base
        self.remat = remat

    def build(self, input_shape):
        """Creates the sublayers for inputs of shape `[batch, length, features]`."""
        features = input_shape[-1]
        key_dim = self.key_dim
        if key_dim is None:
            if features % self.num_heads:
                raise ValueError(
                    f"`num_heads` must divide the {features} features of the input, or `key_dim` "
                    f"be given. Received: num_heads={self.num_heads}."
                )
            key_dim = features // self.num_heads
        policy = self.dtype_policy
        self.attention = CombinerAttention(
            self.num_heads,
            key_dim,
            dropout=self.dropout,
            factorization=self.factorization,
            block_size=self.block_size,
            summary=self.summary,
            num_key_value_heads=self.num_key_value_heads,
            rotary=self.rotary,
            rotary_base=self.rotary_base,
            dtype=policy,
            name="attention",
        )
        self.attention.build(input_shape, input_shape)
        if self.remat and self.attention.plan.learns_without_gradients:
            raise ValueError(
                "`remat` runs a block twice, and a plan that learns from the tokens it sees would "
                "do so twice. Leave it out, or take another plan. Received: "
                f"factorization={self.factorization!r}."
            )
        self.attention_norm = self._layer_norm("attention_norm")
        self.attention_norm.build(input_shape)
        self.feedforward_intermediate = keras.layers.Dense(
            self.intermediate_dim,
            activation=self.activation,
            dtype=dtype_policies.of_sublayer(self, "feedforward_intermediate"),
            name="feedforward_intermediate",
        )
        self.feedforward_intermediate.build(input_shape)
        self.feedforward_output = keras.layers.Dense(
            features,
            dtype=dtype_policies.of_sublayer(self, "feedforward_output"),
            name="feedforward_output",
        )
        self.feedforward_output.build((*input_shape[:-1], self.intermediate_dim))
        self.feedforward_norm = self._layer_norm("feedforward_norm")
        self.feedforward_norm.build(input_shape)
        self.dropout_layer = Dropout(self.dropout, dtype=policy, name="dropout")

    def _layer_norm(self, name):
        return keras.layers.LayerNormalization(
            epsilon=self.layer_norm_epsilon, dtype=self.dtype_policy, name=name
        )

    def call(self, inputs, mask=None, training=None):
        """See the class docstring."""
        if not (self.remat and training):
            return self._block(inputs, mask, training)
        return rematerialized(
            lambda x: self._block(x, mask, training),
            inputs,
            self.dropout_layer.seed_generator if self.dropout else None,
        )

    def _block(self, inputs, mask, training):
        def attend(x):
            return self.attention(
                x,
                x,
                attention_mask=mask,
                use_causal_mask=self.use_causal_mask,
                training=training,
            )

        x = self._residual(inputs, attend, self.attention_norm, training)
        return self._residual(x, self._feed_forward, self.feedforward_norm, training)

    def _feed_forward(self, x):
        return self.feedforward_output(self.feedforward_intermediate(x))

    def _residual(self, x, sublayer, norm, training):
        if self.normalize_first:
            return x + self.dropout_layer(sublayer(norm(x)), training=training)
        return norm(x + self.dropout_layer(sublayer(x), training=training))

    def initial_cache(self, batch_size, max_length):
        """See `CombinerAttention.initial_cache`."""
        self._check_decodes()
        return self.attention.initial_cache(batch_size, max_length)

    def decode(self, token, cache, position):
        """Computes the block for the next token of every sequence.

        Decoding the tokens one after the other gives what the block gives for all of them at once.
        There is no masking, and no dropout is applied.

        Args:
            token: float tensor `[batch, features]`, the block's input at `position`.
            cache: dictionary of tensors, what `initial_cache` made or the last step returned.
            position: int, or int32 scalar tensor: 0 for the first token, then 1, and so on.

        Returns:
            `(outputs, cache)`: float tensor `[batch, features]`, and the cache for the next step.

        Raises:
            NotImplementedError: if the plan does not decode one token at a time.
            ValueError: if the block is not causal or has no weights yet, and for what
                `CombinerAttention.decode` refuses.
        """
        self._check_decodes()
        new_cache = None

        def attend(x):
            nonlocal new_cache
            outputs, new_cache = self.attention.decode(x, cache, position)
            return outputs

        x = ops.cast(token, self.compute_dtype)
        x = self._residual(x, attend, self.attention_norm, training=False)
        x = self._residual(x, self._feed_forward, self.feedforward_norm, training=False)
        return x, new_cache

    def _check_decodes(self):
        if not self.use_causal_mask:
            raise ValueError(
                f"Only causal blocks decode one token at a time: build {self.name!r} with "
                "use_causal_mask=True."
            )
        if not self.built:
            raise ValueError(
                f"The layer {self.name!r} has no weights yet: call or build it before decoding."
            )

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {
            **super().get_config(),
            "dtype": dtype_policies.serialize(self, self.dtype_policy),
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            "key_dim": self.key_dim,
            "dropout": self.dropout,
            "activation": keras.activations.serialize(self.activation),
            "normalize_first": self.normalize_first,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "use_causal_mask": self.use_causal_mask,
            "factorization": factorizations.serialize(self.factorization),
            "block_size": self.block_size,
            "summary": self.summary,
            "num_key_value_heads": self.num_key_value_heads,
            "rotary": self.rotary,
            "rotary_base": self.rotary_base,
            "remat": self.remat,
        }
