"""CombinerAttention: MultiHeadAttention for long sequences."""

import keras
from keras import ops

from keras_combiner import factorizations
from keras_combiner.factorizations import summaries

MASKS = ("query_mask", "value_mask", "key_mask", "attention_mask")


@keras.saving.register_keras_serializable(package="keras_combiner")
class CombinerAttention(keras.layers.MultiHeadAttention):
    """Full self-attention over long sequences at sub-quadratic cost.

    Takes the place of `keras.layers.MultiHeadAttention` in self-attention: same constructor, same
    call, same weights in name, shape and order. Every token attends to every other one (or, with
    `use_causal_mask`, to every earlier one), to near ones directly and to far ones through
    summaries of the parts they lie in, so that a query takes about `block_size + length /
    block_size` logits instead of `length`. With `block_size >= length` it computes exactly what
    `MultiHeadAttention` does.

    Masking: a position is masked if any of the masks says so: the implicit Keras masks of the
    inputs, `query_mask`, `value_mask`, `key_mask` or `attention_mask`. A masked position is left
    out of direct attention, of the summaries and of what makes them, so outputs at other
    positions depend neither on what it holds nor on how many of them follow the sequence. (Masked
    positions before or inside the sequence move its tokens into other blocks.) Outputs at masked
    positions are finite but without meaning; they are zero if the whole sequence is masked
    (before `attention_output` adds its bias). The query's implicit mask is passed on.

    Args:
        num_heads: int, number of attention heads.
        key_dim: int, size of each head for query and key.
        value_dim: int, size of each head for value; `key_dim` if None.
        dropout: float, share of the joint attention weights that training drops.
        use_bias: bool, whether the four projections have a bias.
        output_shape: int or tuple of int, the last dimensions of the output; those of `query`
            if None.
        factorization: str or `keras_combiner.factorizations.Factorization`, the plan that
            splits the sequence: one of `keras_combiner.factorizations.names()`, or an object.
        block_size: int, number of tokens that attend to each other directly (the width of the
            grid for axial plans), for plans that are given by name; an object has its own.
        summary: str, how a part is summarized: "max" (the paper's), "mean", "deepset" (which
            adds parameters) or "variational"; see
            `keras_combiner.factorizations.summaries.summarize`. "none" leaves parts out: sparse
            attention to the direct tokens only, for comparisons.
        **kwargs: whatever else `keras.layers.MultiHeadAttention` takes: `kernel_initializer`,
            `bias_initializer`, `kernel_regularizer`, `bias_regularizer`, `activity_regularizer`,
            `kernel_constraint`, `bias_constraint`, `use_gate`, `seed`, `name`, `dtype`.
            `attention_axes` and `sliding_window` have no meaning here and are refused.

    Call arguments:
        query: float tensor `[batch, length, features]`.
        value: float tensor `[batch, length, features]`.
        key: float tensor `[batch, length, features]`; `value` if None.
        query_mask: bool tensor `[batch, length]`, true at positions that count, or None.
        value_mask: like `query_mask`.
        key_mask: like `query_mask`.
        attention_mask: bool tensor `[batch, length]` or `[batch, 1, length]`, or None.
        return_attention_scores: bool, whether to return the effective attention matrix as well;
            it takes memory that grows with the square of the length.
        training: bool, whether to apply dropout.
        use_causal_mask: bool, whether a position sees only itself and the past.

    Returns:
        float tensor `[batch, length, features]` (or `[batch, length, *output_shape]`), or with
        `return_attention_scores` a pair of it and the effective attention matrix
        `[batch, num_heads, length, length]`, before dropout.

    Raises:
        ValueError: for arguments out of range, for cross-attention (query and value of unequal
            length), for a mask of the wrong rank or length, and for a mask
            `[batch, length, length]`, which no factorization can honour.

    Example:

    >>> import numpy as np
    >>> tokens = np.random.default_rng(0).normal(size=(2, 300, 32)).astype("float32")
    >>> layer = CombinerAttention(num_heads=4, key_dim=8, block_size=16)
    >>> tuple(layer(tokens, tokens).shape)
    (2, 300, 32)

    Reference:
        Ren et al., "Combiner: Full Attention Transformer with Sparse Computation Cost",
        NeurIPS 2021, https://arxiv.org/abs/2107.05768, equation 5.
    """

    def __init__(
        self,
        num_heads,
        key_dim,
        value_dim=None,
        dropout=0.0,
        use_bias=True,
        output_shape=None,
        *,
        factorization="fixed",
        block_size=64,
        summary="max",
        **kwargs,
    ):
        # Axis 1 is the one that attention runs over anyway.
        if kwargs.pop("attention_axes", None) not in (None, 1, (1,), [1]):
            raise ValueError(
                "CombinerAttention takes no `attention_axes`: attention runs over axis 1; reshape "
                "the input so that it does."
            )
        if kwargs.pop("sliding_window", None) is not None:
            raise ValueError(
                "CombinerAttention takes no `sliding_window`: `block_size` sets how far direct "
                "attention reaches."
            )
        super().__init__(
            num_heads,
            key_dim,
            value_dim=value_dim,
            dropout=dropout,
            use_bias=use_bias,
            output_shape=output_shape,
            **kwargs,
        )
        summaries.check(summary)
        self.factorization = factorizations.deserialize(factorization)
        self.plan = factorizations.get(self.factorization, block_size)
        self.block_size = block_size
        self.summary = summary

    def build(self, query_shape, value_shape, key_shape=None):
        """Creates the projections, as `MultiHeadAttention` does."""
        self._check_shapes(query_shape, value_shape, key_shape)
        super().build(query_shape, value_shape, key_shape)
        for projection in (self._query_dense, self._key_dense, self._value_dense):
            # They see the implicit masks of the inputs and need not warn about them.
            projection.supports_masking = True
        if self._use_gate:
            self._gate_dense.supports_masking = True
        self._add_plan_weights(query_shape[-1])

    def _add_plan_weights(self, input_dim):
        """Creates what the plan and the summaries learn."""
        specs = self.plan.all_weight_specs(
            self.summary, self._num_heads, self._key_dim, self._value_dim, input_dim
        )
        self.plan_weights = {
            name: self.add_weight(
                name=name,
                shape=spec.shape,
                initializer=spec.initializer,
                trainable=spec.trainable,
                regularizer=self._kernel_regularizer if len(spec.shape) > 1 else None,
                # A moving average changes by less than a short format can hold.
                autocast=spec.trainable,
            )
            for name, spec in specs.items()
        }

    def call(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
    ):
        """See the class docstring."""
        key = value if key is None else key
        self._check_shapes(query.shape, value.shape, key.shape)
        padding_mask = _combine_masks(
            (query_mask, value_mask, key_mask, attention_mask), query.shape[1]
        )
        key_heads = _heads_first(self._key_dense(key))
        outputs = self.plan.attend(
            _heads_first(self._query_dense(query)),
            key_heads,
            _heads_first(self._value_dense(value)),
            padding_mask=padding_mask,
            causal=use_causal_mask,
            summary=self.summary,
            dropout=self._dropout_of_weights(training),
            return_attention_scores=return_attention_scores,
            weights=self.plan_weights,
            inputs=query,
        )
        if training:
            updated = self.plan.updated_weights(self.plan_weights, key_heads, padding_mask)
            for name, weight in updated.items():
                self.plan_weights[name].assign(weight)
        outputs, scores = outputs if return_attention_scores else (outputs, None)
        outputs = ops.transpose(outputs, (0, 2, 1, 3))
        if self._use_gate:
            outputs = outputs * self._gate_dense(query)
        outputs = self._output_dense(outputs)
        return (outputs, scores) if return_attention_scores else outputs

    def _dropout_of_weights(self, training):
        if not (self._dropout and training):
            return None
        return lambda weights: self._dropout_layer(weights, training=True)

    def _check_shapes(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        shapes = f"query {query_shape}, value {value_shape}, key {key_shape}"
        if any(len(shape) != 3 for shape in (query_shape, value_shape, key_shape)):
            raise ValueError(
                "CombinerAttention expects query, value and key of shape [batch, length, "
                f"features]. Received: {shapes}."
            )
        lengths = {shape[1] for shape in (query_shape, value_shape, key_shape)} - {None}
        if len(lengths) > 1:
            raise ValueError(
                "CombinerAttention is self-attention: query, value and key must have the same "
                f"length. Received: {shapes}. For cross-attention use "
                "keras.layers.MultiHeadAttention."
            )

    def compute_output_spec(self, query, value, key=None, *args, **kwargs):
        """Shapes and dtypes of the outputs, after the checks that `call` makes."""
        self._check_shapes(query.shape, value.shape, None if key is None else key.shape)
        for name in MASKS:
            _check_mask(kwargs.get(name), query.shape[1], name)
        return super().compute_output_spec(query, value, key, *args, **kwargs)

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        config = super().get_config()
        for name in ("attention_axes", "sliding_window"):
            config.pop(name, None)
        return {
            **config,
            "factorization": factorizations.serialize(self.factorization),
            "block_size": self.block_size,
            "summary": self.summary,
        }


def _heads_first(x):
    """`[batch, length, heads, dim]` -> `[batch, heads, length, dim]`."""
    return ops.transpose(x, (0, 2, 1, 3))


def _combine_masks(masks, length):
    """One padding mask `[batch, length]` out of four, or None if there is none.

    In self-attention a position either counts or does not, so masks combine by `and`.
    """
    combined = None
    seen = []  # Keras hands the same implicit mask to every argument: combine it once.
    for name, mask in zip(MASKS, masks, strict=True):
        if mask is None or any(mask is other for other in seen):
            continue
        seen.append(mask)
        _check_mask(mask, length, name)
        mask = ops.cast(mask, "bool")
        if len(mask.shape) == 3:
            mask = ops.squeeze(mask, 1)
        combined = mask if combined is None else ops.logical_and(combined, mask)
    return combined


def _check_mask(mask, length, name):
    if mask is None:
        return
    shape = tuple(mask.shape)
    expected = f"[batch, {length}]"
    if name == "attention_mask":
        expected += f" or [batch, 1, {length}]"
    is_rank_3 = name == "attention_mask" and len(shape) == 3
    if is_rank_3 and shape[1] != 1:
        raise ValueError(
            f"`attention_mask` must have the shape {expected}: true at positions that count, for "
            f"all queries alike. Received: shape {shape}. A mask for each pair of positions would "
            "bring back the quadratic cost: use `use_causal_mask=True` for causality, and "
            "keras.layers.MultiHeadAttention for other patterns."
        )
    if not (len(shape) == 2 or is_rank_3):
        raise ValueError(f"`{name}` must have the shape {expected}. Received: shape {shape}.")
    if None not in (shape[-1], length) and shape[-1] != length:
        raise ValueError(
            f"`{name}` must have the shape {expected}, one entry a token. Received: shape {shape}."
        )
