"""CombinerAttention: MultiHeadAttention for long sequences."""

import keras
from keras import ops

from keras_combiner import factorizations
from keras_combiner.factorizations import summaries
from keras_combiner.factorizations.factorization import check_locality
from keras_combiner.layers import dtype_policies, fused_attention
from keras_combiner.layers import rotary as rotary_embedding
from keras_combiner.layers.dropout import Dropout

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
            grid for axial plans, the size of the window for "window", which sees nothing beyond),
            for plans that are given by name; an object has its own.
        summary: str, how a part is summarized: "variational" (the closest to softmax
            attention), "gaussian" (which leaves out less of it), "max" (the paper's), "mean" or
            "deepset" (which adds parameters); see
            `keras_combiner.factorizations.summaries.summarize`. "none" leaves parts out: sparse
            attention to the direct tokens only, for comparisons.
        locality: float from 0 to 16, in nats, added to the logits of the tokens that a query
            attends to directly: nothing in the first head, `locality` in the last one, equal steps
            between them; see `keras_combiner.factorizations.Factorization.attend`. It must be 0 for
            a single head.
        num_key_value_heads: int, number of key and value heads, each shared by
            `num_heads / num_key_value_heads` query heads (grouped queries); `num_heads` if None.
        rotary: bool, whether to rotate queries and keys by angles that grow with the position,
            counted from the first position of a sequence that is not masked.
        rotary_base: float, base of these angles; see `keras_combiner.layers.rotary.rotate`.
        rotary_scaling_factor: float, by which positions are divided before; see there.
        flash_attention: bool, whether the backend's fused kernel computes the attention. It can on
            JAX and PyTorch, where all attention is direct (such as the plan "fixed" with
            `block_size >= length`), no scores are asked for, no dropout is active and `value_dim`
            equals `key_dim`. If None, it is used wherever it can be, unless Keras's flash attention
            is disabled; if True, a call that cannot use it raises an error. It depends on the
            machine, not on the model: as in `keras.layers.MultiHeadAttention` it is not saved.
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
        training: bool, whether to apply dropout, and, unless the layer is frozen, to move what the
            plan learns without gradients.
        use_causal_mask: bool, whether a position sees only itself and the past.

    Returns:
        float tensor `[batch, length, features]` (or `[batch, length, *output_shape]`), or with
        `return_attention_scores` a pair of it and the effective attention matrix
        `[batch, num_heads, length, length]`, before dropout.

    Raises:
        ValueError: for arguments out of range, for cross-attention (query and value of unequal
            length), for a mask of the wrong rank or length, for a mask `[batch, length, length]`,
            which no factorization can honour, and where `flash_attention=True` is not possible.

    Example:

    >>> import numpy as np
    >>> tokens = np.random.default_rng(0).normal(size=(2, 300, 32)).astype("float32")
    >>> layer = CombinerAttention(num_heads=4, key_dim=8, block_size=16)
    >>> tuple(layer(tokens, tokens).shape)
    (2, 300, 32)

    Reference:
        Ren et al., "Combiner: Full Attention Transformer with Sparse Computation Cost",
        NeurIPS 2021, https://arxiv.org/abs/2107.05768, equation 5. Grouped queries: Ainslie et
        al., "GQA: Training Generalized Multi-Query Transformer Models from Multi-Head
        Checkpoints", 2023, https://arxiv.org/abs/2305.13245. Rotary positions: Su et al.,
        "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021,
        https://arxiv.org/abs/2104.09864.
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
        summary="variational",
        locality=0.0,
        num_key_value_heads=None,
        rotary=False,
        rotary_base=10000.0,
        rotary_scaling_factor=1.0,
        flash_attention=None,
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
                "attention reaches. For a window W and nothing beyond, pass "
                "factorization=Window(W) if the attention is causal, and Window(2 * W - 1) if not."
            )
        super().__init__(
            num_heads,
            key_dim,
            value_dim=value_dim,
            dropout=dropout,
            use_bias=use_bias,
            output_shape=output_shape,
            flash_attention=flash_attention,
            **kwargs,
        )
        if flash_attention is None:
            flash_attention = keras.config.is_flash_attention_enabled()
        if flash_attention:
            fused_attention.check_backend()
        self.flash_attention = flash_attention
        summaries.check(summary)
        check_locality(locality, num_heads)
        check_heads(num_heads, num_key_value_heads)
        if rotary:
            rotary_embedding.check(key_dim, rotary_base, rotary_scaling_factor)
        self.num_key_value_heads = num_key_value_heads
        self.rotary = rotary
        self.rotary_base = rotary_base
        self.rotary_scaling_factor = rotary_scaling_factor
        self.factorization = factorizations.deserialize(factorization)
        self.plan = factorizations.get(self.factorization, block_size)
        self.block_size = block_size
        self.summary = summary
        self.locality = locality

    def build(self, query_shape, value_shape, key_shape=None):
        """Creates the projections of `MultiHeadAttention`, keys and values with fewer heads."""
        self._check_shapes(query_shape, value_shape, key_shape)
        key_shape = value_shape if key_shape is None else key_shape
        key_heads = self.num_key_value_heads or self.num_heads
        self._query_dense = self._projection("query", self.num_heads, self.key_dim)
        self._query_dense.build(query_shape)
        self._key_dense = self._projection("key", key_heads, self.key_dim)
        self._key_dense.build(key_shape)
        if self._use_gate:
            self._gate_dense = self._projection(
                "gate", self.num_heads, self.value_dim, activation="sigmoid"
            )
            self._gate_dense.build(query_shape)
        self._value_dense = self._projection("value", key_heads, self.value_dim)
        self._value_dense.build(value_shape)
        self._dropout_layer = Dropout(
            self.dropout, seed=self.seed, dtype=self.dtype_policy, name="dropout"
        )
        self._output_dense = self._make_output_dense(
            query_shape, self._projection_options("attention_output"), "attention_output"
        )
        self._output_dense.build((*query_shape[:-1], self.num_heads, self.value_dim))
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

    def _projection(self, name, num_heads, dim, activation=None):
        """From features to heads, `[batch, length, features]` -> `[batch, length, heads, dim]`."""
        projection = keras.layers.EinsumDense(
            "abc,cde->abde",
            output_shape=(None, num_heads, dim),
            activation=activation,
            bias_axes="de" if self.use_bias else None,
            name=name,
            **self._projection_options(name),
        )
        # It sees the implicit masks of the inputs and need not warn about them.
        projection.supports_masking = True
        return projection

    def _projection_options(self, name):
        policy = dtype_policies.of_sublayer(self, name)
        return {**self._get_common_kwargs_for_sublayer(), "dtype": policy}

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
            (query_mask, value_mask, key_mask, attention_mask), query.shape[:2]
        )
        positions = None
        if self.rotary:
            positions = rotary_embedding.positions_from_first_valid(
                padding_mask, ops.shape(query)[1]
            )
        query_heads, key_heads, value_heads = self._project(query, key, value, positions)
        key_heads, value_heads = map(self._repeat_for_query_heads, (key_heads, value_heads))
        dropout = self._dropout_of_weights(training)
        if self._is_fused(query.shape, dropout, return_attention_scores):
            outputs = fused_attention.attend(
                query_heads,
                key_heads,
                value_heads,
                padding_mask=padding_mask,
                causal=use_causal_mask,
                flash_attention=self.flash_attention,
            )
        else:
            outputs = self.plan.attend(
                query_heads,
                key_heads,
                value_heads,
                padding_mask=padding_mask,
                causal=use_causal_mask,
                summary=self.summary,
                dropout=dropout,
                return_attention_scores=return_attention_scores,
                weights=self.plan_weights,
                inputs=query,
                locality=self.locality,
            )
        if training and self.trainable:  # as in keras.layers.BatchNormalization
            updated = self.plan.updated_weights(self.plan_weights, key_heads, padding_mask)
            for name, weight in updated.items():
                self.plan_weights[name].assign(weight)
        outputs, scores = outputs if return_attention_scores else (outputs, None)
        outputs = self._merge_heads(outputs, query)
        return (outputs, scores) if return_attention_scores else outputs

    def _project(self, query, key, value, positions):
        """From features to heads; rotated to their positions if the layer is rotary.

        Legend: B batch, T tokens, H query heads, K key and value heads, D key dim, V value dim.

        Args:
            query: float tensor `[B, T, features]`.
            key: float tensor `[B, T, features]`.
            value: float tensor `[B, T, features]`.
            positions: int tensor `[B, T]` or `[1, T]`; only a rotary layer looks at them.

        Returns:
            Query, key and value, float tensors `[B, H, T, D]`, `[B, K, T, D]`, `[B, K, T, V]`.
        """
        query = _heads_first(self._query_dense(query))
        key = _heads_first(self._key_dense(key))
        value = _heads_first(self._value_dense(value))
        if self.rotary:
            query, key = (
                rotary_embedding.rotate(x, positions, self.rotary_base, self.rotary_scaling_factor)
                for x in (query, key)
            )
        return query, key, value

    def _repeat_for_query_heads(self, x):
        """`[B, K, T, D]` -> `[B, H, T, D]`: heads of keys or values, once a query head.

        For heads `a, b` and four query heads: `a, a, b, b`.
        """
        batch, num_heads, length, features = ops.shape(x)
        if num_heads == self.num_heads:
            return x
        repeats = self.num_heads // num_heads
        x = ops.reshape(x, (batch * num_heads, 1, length, features))
        x = ops.broadcast_to(x, (batch * num_heads, repeats, length, features))
        return ops.reshape(x, (batch, self.num_heads, length, features))

    def _merge_heads(self, outputs, query):
        """From attention outputs `[B, H, T, V]` to the layer's; `query` is the layer's input."""
        outputs = ops.transpose(outputs, (0, 2, 1, 3))
        if self._use_gate:
            outputs = ops.multiply(outputs, self._gate_dense(query))
        return self._output_dense(outputs)

    def initial_cache(self, batch_size, max_length):
        """Makes the empty cache that `decode` starts with.

        Args:
            batch_size: int, number of sequences that are decoded together.
            max_length: int, the most tokens that will be decoded.

        Returns:
            A dictionary of tensors; see `Factorization.initial_cache`. Grouped keys and values are
            kept once for every query head, because the queries of a head make its summaries.

        Raises:
            NotImplementedError: if the plan does not decode one token at a time.
            ValueError: if a size is not an int of at least 1.
        """
        return self.plan.initial_cache(
            batch_size,
            self.num_heads,
            self.key_dim,
            self.value_dim,
            max_length,
            dtype=self.compute_dtype,
            summary=self.summary,
        )

    def decode(self, token, cache, position):
        """Computes causal self-attention for the next token of every sequence.

        Decoding the tokens one by one returns what the layer returns for all of them at once with
        `use_causal_mask=True`, at a cost per token that grows more slowly than the length. There is
        no masking: sequences have no padding. No dropout is applied.

        Args:
            token: float tensor `[batch, features]`, the layer's input at `position`.
            cache: dictionary of tensors, what `initial_cache` made or the last step returned.
            position: int, or int32 scalar tensor: 0 for the first token, then 1, and so on.

        Returns:
            `(outputs, cache)`: float tensor `[batch, features]` (or `[batch, *output_shape]`), and
            the cache for the next step, of the same structure.

        Raises:
            NotImplementedError: if the plan does not decode one token at a time.
            ValueError: if the layer has no weights yet, for a token of the wrong rank, for a cache
                of another layer or batch size, or for a `position` that is an int for which the
                cache has no room.

        Example:

        >>> import numpy as np
        >>> tokens = np.random.default_rng(0).normal(size=(2, 20, 32)).astype("float32")
        >>> layer = CombinerAttention(num_heads=4, key_dim=8, block_size=4)
        >>> whole = layer(tokens, tokens, use_causal_mask=True)
        >>> cache = layer.initial_cache(batch_size=2, max_length=20)
        >>> for position in range(20):
        ...     outputs, cache = layer.decode(tokens[:, position], cache, position)
        >>> outputs, whole = (ops.convert_to_numpy(x) for x in (outputs, whole[:, -1]))
        >>> bool(np.allclose(outputs, whole, atol=1e-5))
        True
        """
        if not self.built:
            raise ValueError(
                f"The layer {self.name!r} has no weights yet: call or build it before `decode`."
            )
        if len(token.shape) != 2:
            raise ValueError(
                "`decode` takes one token of every sequence, [batch, features]. Received: shape "
                f"{tuple(token.shape)}."
            )
        inputs = ops.expand_dims(ops.cast(token, self.compute_dtype), 1)
        positions = ops.reshape(ops.cast(position, "int32"), (1, 1))
        query, key, value = self._project(inputs, inputs, inputs, positions)
        key, value = map(self._repeat_for_query_heads, (key, value))
        outputs, cache = self.plan.decode(
            *(ops.squeeze(x, 2) for x in (query, key, value)),
            cache,
            position,
            summary=self.summary,
            weights=self.plan_weights,
            locality=self.locality,
        )
        outputs = self._merge_heads(ops.expand_dims(outputs, 2), inputs)
        return ops.squeeze(outputs, 1), cache

    def _is_fused(self, shape, dropout, return_attention_scores):
        """Whether the fused kernel computes inputs of `shape`; raises if it must and cannot."""
        if self.flash_attention is False or not fused_attention.is_available():
            return False
        obstacle = None
        if return_attention_scores:
            obstacle = "the fused kernel does not return the attention scores"
        elif dropout is not None:
            obstacle = "the fused kernel has no dropout"
        elif self.value_dim != self.key_dim:
            obstacle = "the fused kernel needs a `value_dim` that equals `key_dim`"
        elif not self.plan.is_full_attention(shape[1]):
            obstacle = (
                f"not all attention between {shape[1]} tokens is direct under the plan "
                f"{type(self.plan).__name__}"
            )
        if obstacle and self.flash_attention:
            raise ValueError(
                f"`flash_attention=True` cannot be honoured: {obstacle}. Pass None to use the "
                "fused kernel only where it can be."
            )
        return obstacle is None and 0 not in shape[:2]

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

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        """`[batch, length, features]`, or `[batch, length, *output_shape]`."""
        self._check_shapes(query_shape, value_shape, key_shape)
        return super().compute_output_shape(query_shape, value_shape, key_shape)

    def compute_output_spec(
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
        """Shapes and dtypes of the outputs, after the checks that `call` makes."""
        shape = self.compute_output_shape(
            query.shape, value.shape, None if key is None else key.shape
        )
        masks = (query_mask, value_mask, key_mask, attention_mask)
        for name, mask in zip(MASKS, masks, strict=True):
            _check_mask(mask, query.shape[:2], name)
        if query.shape[1] is not None:
            self._is_fused(query.shape, None, return_attention_scores)
        # In a map of dtype policies the projections may have their own.
        outputs = keras.KerasTensor(shape, self._dtype_of("output"))
        if not return_attention_scores:
            return outputs
        batch, length, _ = query.shape
        scores_shape = (batch, self.num_heads, length, length)
        return outputs, keras.KerasTensor(scores_shape, self._dtype_of("value"))

    def _dtype_of(self, projection):
        return (
            getattr(self, f"{projection}_dense").compute_dtype if self.built else self.compute_dtype
        )

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        config = super().get_config()
        for name in ("attention_axes", "sliding_window"):
            config.pop(name, None)
        return {
            **config,
            "dtype": dtype_policies.serialize(self, self.dtype_policy),
            "factorization": factorizations.serialize(self.factorization),
            "block_size": self.block_size,
            "summary": self.summary,
            "locality": self.locality,
            "num_key_value_heads": self.num_key_value_heads,
            "rotary": self.rotary,
            "rotary_base": self.rotary_base,
            "rotary_scaling_factor": self.rotary_scaling_factor,
        }


def check_heads(num_heads, num_key_value_heads):
    """Raises a ValueError unless query heads can share the key and value heads evenly."""
    if num_key_value_heads is None:
        return
    is_size = isinstance(num_key_value_heads, int) and num_key_value_heads >= 1
    if not is_size or num_heads % num_key_value_heads:
        raise ValueError(
            "`num_key_value_heads` must be an int that divides `num_heads`, or None for as many. "
            f"Received: num_key_value_heads={num_key_value_heads!r}, num_heads={num_heads}."
        )


def _heads_first(x):
    """`[batch, length, heads, dim]` -> `[batch, heads, length, dim]`."""
    return ops.transpose(x, (0, 2, 1, 3))


def _combine_masks(masks, sizes):
    """One padding mask `[batch, length]` out of four, or None if there is none.

    In self-attention a position either counts or does not, so masks combine by `and`.
    """
    combined = None
    seen = []  # Keras hands the same implicit mask to every argument: combine it once.
    for name, mask in zip(MASKS, masks, strict=True):
        if mask is None or any(mask is other for other in seen):
            continue
        seen.append(mask)
        _check_mask(mask, sizes, name)
        mask = ops.cast(mask, "bool")
        if len(mask.shape) == 3:
            mask = ops.squeeze(mask, 1)
        combined = mask if combined is None else ops.logical_and(combined, mask)
    return combined


def _check_mask(mask, sizes, name):
    """Raises a ValueError for a mask that does not fit `sizes`, the batch size and the length."""
    if mask is None:
        return
    batch, length = sizes
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
    if None not in (shape[0], batch) and shape[0] not in (1, batch):
        raise ValueError(
            f"`{name}` must have the shape {expected}, one row a document: there are {batch}. "
            f"Received: shape {shape}."
        )
