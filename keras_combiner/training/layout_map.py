"""layout_map: how the weights of a model are split over a mesh of devices."""

import keras

# Shapes: query, key, value `[features, heads, dim]`, attention_output `[heads, dim, features]`,
# the feed-forward and its gate `[features, intermediate]` and back, tables
# `[tokens or positions, features]`.
_SHARDED = {
    r"(.*/)?(query|key|value|gate)/kernel$": (None, "model", None),
    r"(.*/)?(query|key|value|gate)/bias$": ("model", None),
    r"(.*/)?attention_output/kernel$": ("model", None, None),
    r"(.*/)?feedforward_(intermediate|gate)/kernel$": (None, "model"),
    r"(.*/)?feedforward_(intermediate|gate)/bias$": ("model",),
    r"(.*/)?feedforward_output/kernel$": ("model", None),
    r"(.*/)?token_embedding/embeddings$": (None, "model"),
    r"(.*/)?embedding/position_embeddings$": (None, "model"),
}


def layout_map(device_mesh, axis="model"):
    """Shards the weights of `CombinerBackbone`, and of the models on it, along an axis of a mesh.

    Heads are divided, and the inner features of feed-forwards, so that a block needs one exchange
    for its attention and one for its feed-forward; embeddings are divided by features. The size of
    the axis must divide `num_heads` (and `num_key_value_heads`), `intermediate_dim` and
    `hidden_dim`. What is small is kept whole on every device: norms, other biases, the last layer,
    and what plans and summaries learn.

    For `keras.distribution.ModelParallel`, which needs the JAX backend.

    Args:
        device_mesh: `keras.distribution.DeviceMesh`.
        axis: str, the name of its axis for the model.

    Returns:
        `keras.distribution.LayoutMap`.

    Raises:
        ValueError: if the mesh has no such axis.

    Example:

    >>> devices = ["cpu:0", "cpu:1", "cpu:2", "cpu:3"]
    >>> mesh = keras.distribution.DeviceMesh((2, 2), ["batch", "model"], devices)
    >>> layout_map(mesh)["encoder_0/attention/query/kernel"].axes
    (None, 'model', None)

    Reference:
        Shoeybi et al., "Megatron-LM: Training Multi-Billion Parameter Language Models Using Model
        Parallelism", 2019, section 3.
    """
    if axis not in device_mesh.axis_names:
        raise ValueError(
            f"`axis` must be one of the mesh's, {', '.join(map(repr, device_mesh.axis_names))}. "
            f"Received: {axis!r}."
        )
    layouts = keras.distribution.LayoutMap(device_mesh)
    for path, axes in _SHARDED.items():
        layouts[path] = tuple(axis if x == "model" else None for x in axes)
    return layouts
