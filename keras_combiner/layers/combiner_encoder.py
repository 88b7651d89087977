"""CombinerEncoder: a transformer block on CombinerAttention."""

import keras
from keras import ops

from keras_combiner.layers import dtype_policies, normalization
from keras_combiner.layers.combiner_attention import CombinerAttention
from keras_combiner.layers.dropout import Dropout
from keras_combiner.layers.encoder_options import EncoderOptions
from keras_combiner.layers.rematerialization import rematerialized


@keras.saving.register_keras_serializable(package="keras_combiner")
class CombinerEncoder(keras.layers.Layer):
    """Transformer block for long sequences: CombinerAttention, then a feed-forward network.

    Both sublayers have dropout on their output, a residual connection and a normalization, which
    comes before the sublayer (`normalize_first=True`, pre-norm) or after the addition (post-norm,
    as in BERT).

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
        rotary_scaling_factor: see `CombinerAttention`.
        remat: bool, whether training keeps only the block's input and computes the rest again for
            the gradient (rematerialization): less memory, more time, the same numbers. A call that
            returns attention scores keeps everything.
        kernel_initializer: initializer of the kernels of attention and of the feed-forward network.
        bias_initializer: initializer of their biases.
        kernel_regularizer: regularizer of their kernels, or None.
        bias_regularizer: regularizer of their biases, or None.
        locality: see `CombinerAttention`.
        use_bias: bool, whether attention and feed-forward network have biases.
        use_gated_activation: bool, whether the feed-forward network has a gate (a gated linear
            unit, GLU): what is activated is multiplied by a second projection of the same width,
            as in ModernBERT (GeGLU, with the activation "gelu") and Llama (SwiGLU, "silu").
        normalization: str, "layer_norm", "layer_norm_no_offset" (which only scales) or "rms_norm".
        use_attention_norm: bool, whether attention has its normalization. A pre-norm block does
            without it if its input is normalized already.
        **kwargs: `name`, `dtype` and what else `keras.layers.Layer` takes.

    Call arguments:
        inputs: float tensor `[batch, length, features]`.
        mask: bool tensor `[batch, length]`, true at positions that count, or None.
        training: bool, whether to apply dropout.
        return_attention_scores: bool, whether to return the effective attention matrix as well;
            it takes memory that grows with the square of the length.

    Returns:
        float tensor `[batch, length, features]`, or with `return_attention_scores` a pair of it
        and the effective attention matrix `[batch, num_heads, length, length]`, before dropout.

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
        `CombinerAttention`. Gated feed-forward networks: Shazeer, "GLU Variants Improve
        Transformer", 2020, https://arxiv.org/abs/2002.05202.
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
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        locality=0.0,
        use_bias=True,
        use_gated_activation=False,
        normalization="layer_norm",
        use_attention_norm=True,
        rotary_scaling_factor=1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.options = EncoderOptions(
            num_heads=num_heads,
            intermediate_dim=intermediate_dim,
            key_dim=key_dim,
            dropout=dropout,
            activation=activation,
            normalize_first=normalize_first,
            layer_norm_epsilon=layer_norm_epsilon,
            use_causal_mask=use_causal_mask,
            factorization=factorization,
            block_size=block_size,
            summary=summary,
            locality=locality,
            num_key_value_heads=num_key_value_heads,
            rotary=rotary,
            rotary_base=rotary_base,
            rotary_scaling_factor=rotary_scaling_factor,
            remat=remat,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            use_bias=use_bias,
            use_gated_activation=use_gated_activation,
            normalization=normalization,
            use_attention_norm=use_attention_norm,
        )
        for name, value in self.options.arguments().items():
            setattr(self, name, value)  # as every layer of Keras has its arguments

    def build(self, input_shape):
        """Creates the sublayers for inputs of shape `[batch, length, features]`."""
        options, features = self.options, input_shape[-1]
        key_dim = options.key_dim
        if key_dim is None:
            if features % options.num_heads:
                raise ValueError(
                    f"`num_heads` must divide the {features} features of the input. Received: "
                    f"num_heads={options.num_heads}. Take another number, or pass `key_dim`."
                )
            key_dim = features // options.num_heads
        self.attention = CombinerAttention(
            key_dim=key_dim, **options.for_attention(), dtype=self.dtype_policy, name="attention"
        )
        self.attention.build(input_shape, input_shape)
        if options.remat and self.attention.plan.learns_without_gradients:
            raise ValueError(
                "`remat` runs a block twice, and a plan that learns from the tokens it sees would "
                "do so twice. Leave it out, or take another plan. Received: "
                f"factorization={options.factorization!r}."
            )
        self.attention_norm = None
        if options.use_attention_norm:
            self.attention_norm = self._norm("attention_norm")
            self.attention_norm.build(input_shape)
        is_gated = options.use_gated_activation
        self.feedforward_intermediate = self._dense(
            "feedforward_intermediate",
            options.intermediate_dim,
            None if is_gated else options.activation,
        )
        self.feedforward_intermediate.build(input_shape)
        if is_gated:
            self.feedforward_gate = self._dense(
                "feedforward_gate", options.intermediate_dim, options.activation
            )
            self.feedforward_gate.build(input_shape)
        self.feedforward_output = self._dense("feedforward_output", features)
        self.feedforward_output.build((*input_shape[:-1], options.intermediate_dim))
        self.feedforward_norm = self._norm("feedforward_norm")
        self.feedforward_norm.build(input_shape)
        self.dropout_layer = Dropout(options.dropout, dtype=self.dtype_policy, name="dropout")

    def _norm(self, name):
        options = self.options
        return normalization.make(
            options.normalization, options.layer_norm_epsilon, dtype=self.dtype_policy, name=name
        )

    def _dense(self, name, units, activation=None):
        return keras.layers.Dense(
            units,
            activation=activation,
            use_bias=self.options.use_bias,
            **self.options.for_weights(),
            dtype=dtype_policies.of_sublayer(self, name),
            name=name,
        )

    def call(self, inputs, mask=None, training=None, return_attention_scores=False):
        """See the class docstring."""
        if return_attention_scores:
            return self._block(inputs, mask, training, return_attention_scores=True)
        if not (self.options.remat and training):
            return self._block(inputs, mask, training)
        return rematerialized(
            lambda x: self._block(x, mask, training),
            inputs,
            self.dropout_layer.seed_generator if self.options.dropout else None,
        )

    def _block(self, inputs, mask, training, return_attention_scores=False):
        scores = None

        def attend(x):
            nonlocal scores
            outputs = self.attention(
                x,
                x,
                attention_mask=mask,
                use_causal_mask=self.options.use_causal_mask,
                training=training,
                return_attention_scores=return_attention_scores,
            )
            outputs, scores = outputs if return_attention_scores else (outputs, None)
            return outputs

        x = self._residual(inputs, attend, self.attention_norm, training)
        x = self._residual(x, self._feed_forward, self.feedforward_norm, training)
        return (x, scores) if return_attention_scores else x

    def _feed_forward(self, x):
        hidden = self.feedforward_intermediate(x)
        if self.options.use_gated_activation:
            hidden = hidden * self.feedforward_gate(x)
        return self.feedforward_output(hidden)

    def _residual(self, x, sublayer, norm, training):
        norm = _identity if norm is None else norm
        if self.options.normalize_first:
            return x + self.dropout_layer(sublayer(norm(x)), training=training)
        return norm(x + self.dropout_layer(sublayer(x), training=training))

    def initial_cache(self, batch_size, max_length):
        """See `CombinerAttention.initial_cache`; raises a ValueError if the block is not causal."""
        self._check_decodes()
        return self.attention.initial_cache(batch_size, max_length)

    def decode(self, token, cache, position):
        """Computes the block for the next token of every sequence.

        Decoding the tokens one by one returns what the block returns for all of them at once. There
        is no masking, and no dropout is applied.

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
        if not self.options.use_causal_mask:
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

    def compute_output_spec(self, inputs, mask=None, training=None, return_attention_scores=False):
        """The input's shape, and that of the scores if they are asked for."""
        outputs = super().compute_output_spec(inputs, mask=mask, training=training)
        if not return_attention_scores:
            return outputs
        _, scores = self.attention.compute_output_spec(inputs, inputs, return_attention_scores=True)
        return outputs, scores

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {
            **super().get_config(),
            "dtype": dtype_policies.serialize(self, self.dtype_policy),
            **self.options.get_config(),
        }


def _identity(x):
    return x
