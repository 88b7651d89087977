"""BERT in numpy, in float64, from its paper: what converted checkpoints are judged by."""

import math

import numpy as np

_erf = np.vectorize(math.erf)


def gelu(x):
    return x * (1 + _erf(x / math.sqrt(2))) / 2


def layer_norm(x, scale, offset, epsilon=1e-12):
    x = x - x.mean(axis=-1, keepdims=True)
    return scale * x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + epsilon) + offset


def hidden_states(tensors, token_ids, num_layers, num_heads):
    """The last hidden states `[length, features]` of one text without padding.

    `tensors` are those of a Hugging Face checkpoint by name, `token_ids` int `[length]`.
    """
    tensors = {name: np.asarray(x, "float64") for name, x in tensors.items()}

    def dense(x, name):
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    def norm(x, name):
        return layer_norm(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    def heads(x):
        return x.reshape((len(x), num_heads, -1)).transpose((1, 0, 2))

    x = (
        tensors["embeddings.word_embeddings.weight"][token_ids]
        + tensors["embeddings.position_embeddings.weight"][: len(token_ids)]
        + tensors["embeddings.token_type_embeddings.weight"][0]
    )
    x = norm(x, "embeddings.LayerNorm")
    for i in range(num_layers):
        layer = f"encoder.layer.{i}"
        query, key, value = (
            heads(dense(x, f"{layer}.attention.self.{name}")) for name in ("query", "key", "value")
        )
        logits = query @ key.transpose((0, 2, 1)) / math.sqrt(query.shape[-1])
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        attended = (weights @ value).transpose((1, 0, 2)).reshape(x.shape)
        x = norm(
            x + dense(attended, f"{layer}.attention.output.dense"),
            f"{layer}.attention.output.LayerNorm",
        )
        inner = gelu(dense(x, f"{layer}.intermediate.dense"))
        x = norm(x + dense(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    return x
